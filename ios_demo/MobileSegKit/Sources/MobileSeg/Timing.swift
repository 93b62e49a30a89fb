import Dispatch

/// The stages of a frame, in order.
public enum Stage: String, CaseIterable, Sendable {
  case camera, pre, inference, post, draw

  /// What it covers.
  public var what: String {
    switch self {
    case .camera: "waiting for the next frame and taking it"
    case .pre: "bringing it to the model's size"
    case .inference: "running the model"
    case .post: "from its output to class ids and colours"
    case .draw: "handing frame and mask to the screen"
    }
  }
}

/// Milliseconds by stage.
public typealias StageTimes = [Stage: Double]

/// Milliseconds since it was made, or since the last lap.
public struct Stopwatch {
  private var last = DispatchTime.now().uptimeNanoseconds

  public init() {}

  public mutating func lap() -> Double {
    let now = DispatchTime.now().uptimeNanoseconds
    defer { last = now }
    return Double(now - last) / 1e6
  }
}

/// The last frames' times.
public struct Timing: Sendable {
  /// How many frames the medians are of.
  public static let kept = 60

  private var frames: [StageTimes] = []

  public init() {}

  public mutating func add(_ frame: StageTimes) {
    frames.append(frame)
    if frames.count > Self.kept { frames.removeFirst() }
  }

  /// Medians in milliseconds; frames per second from the median of whole frames, not from inference alone.
  public struct Summary: Equatable, Sendable {
    public let count: Int
    public let stages: StageTimes
    public let total: Double

    public var framesPerSecond: Double { 1000 / total }
  }

  /// Nil before the first frame, and where a stage was not measured: a missing time is not 0.
  public var summary: Summary? {
    let complete = frames.filter { frame in Stage.allCases.allSatisfy { frame[$0] != nil } }
    guard let total = median(complete.map { $0.values.reduce(0, +) }) else { return nil }
    let stages = Stage.allCases.map { stage in (stage, median(complete.compactMap { $0[stage] })!) }
    return Summary(count: complete.count, stages: Dictionary(uniqueKeysWithValues: stages), total: total)
  }
}

/// Nil of nothing.
public func median(_ values: [Double]) -> Double? {
  guard !values.isEmpty else { return nil }
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
