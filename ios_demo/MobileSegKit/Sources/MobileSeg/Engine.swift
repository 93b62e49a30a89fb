/// One model, loaded by one runtime. It owns all of its memory and is used by one thread at a time (`Exclusive`).
public protocol Engine: AnyObject {
  /// What it is shown: pixels of the platform's own kind.
  associatedtype Frame

  /// Bring a frame to the model's input.
  ///
  /// - Throws: `DemoError` if the frame cannot be.
  func prepare(_ frame: Frame) throws

  /// Run the model on the frame prepared last; `use` gets the output, which is gone when it returns.
  ///
  /// - Throws: `UnitsError` if the runtime fails, and what `use` throws.
  func run<Value>(_ use: (Output) throws -> Value) throws -> Value
}

/// A frame's way through the model, each stage timed.
public final class Pipeline<Runtime: Engine> {
  public let manifest: Manifest
  public let mask: Mask
  private let engine: Runtime

  public init(_ engine: Runtime, manifest: Manifest) {
    self.engine = engine
    self.manifest = manifest
    mask = Mask(manifest)
  }

  /// Segment a frame into `mask`.
  ///
  /// - Returns: the times of `pre`, `inference` and `post`.
  /// - Throws: what the engine throws.
  public func run(_ frame: Runtime.Frame) throws -> StageTimes {
    var watch = Stopwatch()
    try engine.prepare(frame)
    var times: StageTimes = [.pre: watch.lap()]
    try engine.run { output in
      times[.inference] = watch.lap()
      mask.update(output)
      times[.post] = watch.lap()
    }
    return times
  }
}
