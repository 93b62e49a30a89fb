import Foundation

/// A compute unit's driver may take the app down with it. What is about to start is noted before and forgotten
/// afterwards; a note that is found when the app starts says what the last one died of.
public struct CrashMarker: Sendable {
  private let file: URL

  /// - Parameter folder: which outlives the app's process.
  public init(folder: URL) {
    file = folder.appendingPathComponent("mobile-seg.starting")
  }

  /// Note what is about to start. Where it cannot be written, the app goes on without.
  public func set(_ what: String) {
    try? Data(what.utf8).write(to: file, options: .atomic)
  }

  public func clear() {
    try? FileManager.default.removeItem(at: file)
  }

  /// What the user should know if the app died while starting something; the note is taken away.
  public func notice() -> String? {
    guard let what = try? String(contentsOf: file, encoding: .utf8) else { return nil }
    clear()
    return "The app ended while starting \(what) the last time. It now begins on \(ComputeUnits.cpuOnly.name)."
  }
}
