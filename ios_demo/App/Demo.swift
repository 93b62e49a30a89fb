import Combine
import CoreImage
import Foundation
import MobileSeg
import MobileSegCoreML

/// What is chosen and shown, and the loop from frame to mask.
@MainActor
final class Demo: ObservableObject {
  static let warmup = 5
  static let repeats = 30
  /// Between two updates of figures; faster cannot be read.
  static let figuresEvery = Duration.milliseconds(200)

  @Published private(set) var entries: [Catalogue.Entry] = []
  @Published private(set) var entry: Catalogue.Entry?
  @Published private(set) var manifest: Manifest?
  @Published private(set) var units = ComputeUnits.all
  @Published private(set) var summary: Timing.Summary?
  @Published private(set) var shares: [Double] = []
  /// What goes on now; empty if nothing does.
  @Published private(set) var status = ""
  /// What the user should know of where the model runs.
  @Published private(set) var notice = ""
  @Published private(set) var source: (any FrameSource)?
  @Published var error = ""

  let screen = Screen()

  private typealias SegmentationPipeline = Pipeline<CoreMLEngine>

  private let pipeline = Exclusive<SegmentationPipeline>(label: "mobile-seg.pipeline")
  private let models = Bundle.main.bundleURL.appendingPathComponent("Models", isDirectory: true)
  private let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask)[0]
  private var timing = Timing()
  private var figuresShown = ContinuousClock.now

  private var marker: CrashMarker { CrashMarker(folder: caches) }

  func start() async {
    await attempt("looking for models") {
      if let notice = marker.notice() {
        units = .cpuOnly
        self.notice = notice
      }
      let catalogue = try Catalogue(folder: models)
      entries = catalogue.entries
      if let first = catalogue.first { try await open(first, on: units, remark: notice) }
    }
  }

  func choose(_ file: String) async {
    guard let chosen = entries.first(where: { $0.file == file }), file != entry?.file else { return }
    await attempt("opening \(chosen.label)") { try await open(chosen, on: units) }
  }

  func choose(_ units: ComputeUnits) async {
    guard let entry, units != self.units else { return }
    await attempt("opening it on \(units.name)") { try await open(entry, on: units) }
  }

  func openCamera() async {
    await attempt("asking for the camera") { show(try await Camera.open()) }
  }

  /// - Parameter load: gives the picture's file, or nil if it has none.
  func openPicture(_ load: () async throws -> Data?) async {
    await attempt("opening the picture") { show(try Picture(data: try await load())) }
  }

  func stop() {
    source?.close()
    source = nil
  }

  /// Show the picture again and again, for figures of more than one frame.
  func measure() async {
    guard let source, !source.isLive else { return }
    await attempt("measuring \(Self.repeats) runs") {
      for _ in 0..<Self.warmup { try await showNext(of: source) }
      timing = Timing()
      for _ in 0..<Self.repeats { try await showNext(of: source) }
    }
  }

  /// Do one thing; what goes wrong is shown, and the app goes on.
  private func attempt(_ status: String, _ action: () async throws -> Void) async {
    guard self.status.isEmpty else { return }
    self.status = status
    error = ""
    do {
      try await action()
    } catch {
      self.error = describe(error)
    }
    self.status = ""
  }

  /// On the units asked for; where they cannot run it, on the next ones, and said so.
  private func open(_ entry: Catalogue.Entry, on asked: ComputeUnits, remark: String = "") async throws {
    let (marker, store) = (marker, ModelStore(bundled: models, caches: caches))
    _ = try entry.manifest.get()
    let opened = try await openSteppingDown(from: asked, file: entry.file) { (units) async throws -> CoreMLEngine in
      marker.set("\(entry.file) on \(units.name)")
      defer { marker.clear() }
      return try await CoreMLEngine.open(entry, from: store, units: units)
    }
    let manifest = opened.resource.manifest
    await pipeline.replace(with: SegmentationPipeline(opened.resource, manifest: manifest))
    (self.entry, self.manifest, units) = (entry, manifest, opened.units)
    notice = [remark, opened.notice].filter { !$0.isEmpty }.joined(separator: " ")
    (timing, summary, shares) = (Timing(), nil, [])
    if let source, !source.isLive { try await showNext(of: source) }
  }

  private func show(_ source: any FrameSource) {
    self.source?.close()
    self.source = source
    (timing, summary) = (Timing(), nil)
    Task { await run(source) }
  }

  /// Until another source takes its place. A picture is shown once.
  private func run(_ source: any FrameSource) async {
    repeat {
      do {
        try await showNext(of: source)
      } catch {
        guard source === self.source else { return }  // stopped while it waited for a frame
        self.error = describe(error)
        stop()
      }
    } while source === self.source && source.isLive
  }

  private func showNext(of source: any FrameSource) async throws {
    var watch = Stopwatch()
    let frame = try await source.next()
    let camera = watch.lap()
    let segmented = try await pipeline.perform { try Segmented(frame, by: $0) }
    watch = Stopwatch()
    screen.show(frame, mask: segmented.mask)
    var times = segmented.times
    times[.camera] = camera
    times[.draw, default: 0] += watch.lap()
    timing.add(times)
    if source.isLive, figuresShown.duration(to: .now) < Self.figuresEvery { return }
    (summary, shares, figuresShown) = (timing.summary, segmented.shares, .now)
  }
}

/// What a frame has become; nothing of it is the pipeline's any more.
private struct Segmented {
  let mask: CGImage?
  let shares: [Double]
  let times: StageTimes

  init(_ frame: Frame, by pipeline: Pipeline<CoreMLEngine>) throws {
    var times = try pipeline.run(frame.image)
    var watch = Stopwatch()
    mask = pipeline.mask.image()
    times[.draw] = watch.lap()
    shares = pipeline.mask.shares
    self.times = times
  }
}
