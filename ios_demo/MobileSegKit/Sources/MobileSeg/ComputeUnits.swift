/// What Core ML may run a model on.
public enum ComputeUnits: String, CaseIterable, Identifiable, Sendable {
  case all, cpuAndGPU, cpuAndNeuralEngine, cpuOnly

  public var id: String { rawValue }

  public var name: String {
    switch self {
    case .all: "all units"
    case .cpuAndGPU: "CPU and GPU"
    case .cpuAndNeuralEngine: "CPU and Neural Engine"
    case .cpuOnly: "CPU only"
    }
  }

  /// What is tried in turn where these units cannot run a model.
  public var ladder: [ComputeUnits] {
    switch self {
    case .all: [.all, .cpuAndGPU, .cpuOnly]
    case .cpuAndGPU, .cpuAndNeuralEngine: [self, .cpuOnly]
    case .cpuOnly: [.cpuOnly]
    }
  }
}

/// What was opened, on which units, and what the user should know of it (empty if it is as asked).
public struct Opened<Resource> {
  public let resource: Resource
  public let units: ComputeUnits
  public let notice: String
}

/// Open a model on the units asked for; where they cannot run it, on the next of their ladder, with the reason.
///
/// - Parameter open: makes it on the units given, and has tried it out. A `UnitsError` leads to the next ones, any other
///   error is not of the units.
/// - Throws: `DemoError` if it runs on none of them, and what else `open` throws.
public func openSteppingDown<Resource>(
  from asked: ComputeUnits, file: String, open: (ComputeUnits) async throws -> Resource
) async throws -> Opened<Resource> {
  var reasons: [String] = []
  for units in asked.ladder {
    do {
      let resource = try await open(units)
      let notice = reasons.isEmpty ? "" : "Running on \(units.name) instead. \(reasons.joined(separator: " "))"
      return Opened(resource: resource, units: units, notice: notice)
    } catch let error as UnitsError {
      reasons.append("On \(units.name) it fails: \(error.reason).")
    }
  }
  throw DemoError(
    "\(file) does not run here. \(reasons.joined(separator: " ")) It may be damaged, or made for a newer system: "
      + "copy it again, or export another precision.")
}
