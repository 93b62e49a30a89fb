import Foundation
import MobileSeg
import MobileSegLiteRT
import Testing

/// Real inference on exported models, by the two rules of `tests/golden/apps.py`.
@Suite(.enabled(if: Golden.folder != nil, "MOBILE_SEG_GOLDEN names no folder; `make test-ios` makes one"))
struct GoldenTests {
  @Test(arguments: Golden.cases)
  func maskIsPythons(_ one: Golden.Case) throws {
    let engine = try LiteRTEngine(file: Golden.url(one.model))
    let type = engine.manifest.output.dtype
    let picture = try one.picture()
    if one.logits {
      try engine.prepare(picture)
      let made = try engine.run { reals(Data($0.bytes), type) }
      let expected = reals(try Golden.read(one.output), type)
      try #require(made.count == expected.count)
      let error = zip(made, expected).map { abs($0 - $1) }.max()!
      #expect(error <= one.tolerance)
    }
    let pipeline = Pipeline(engine, manifest: engine.manifest)
    let times = try pipeline.run(picture)
    #expect(Set(times.keys) == [.pre, .inference, .post])
    let expected = [UInt8](try Golden.read(one.labels))
    let margin = reals(try Golden.read(one.margin), .float32)
    try #require(pipeline.mask.labels.count == expected.count)
    let wrong = expected.indices.filter { at in
      margin[at] > 2 * one.tolerance && pipeline.mask.labels[at] != expected[at]
    }
    #expect(wrong.count == 0)
    #expect(abs(pipeline.mask.shares.reduce(0, +) - 1) < 1e-9)
    say("golden: \(one.name)")
  }

  @Test(arguments: Golden.bad)
  func badFileIsRefused(_ one: Golden.Bad) {
    do {
      _ = try LiteRTEngine(file: Golden.url(one.file))
      Issue.record("\(one.file) was taken")
    } catch {
      #expect(describe(error).contains(one.says))
      #expect(!describe(error).contains("Unexpected"))
    }
  }

  @Test func anImageOfAnotherSizeIsRefused() throws {
    let engine = try LiteRTEngine(file: Golden.url(Golden.cases[0].model))
    let small = try RGBImage(height: 1, width: 1, bytes: [1, 2, 3])
    #expect(throws: DemoError.self) { try engine.prepare(small) }
  }

  @Test func filesOfAnotherKindAreRefused() throws {
    #expect(throws: DemoError.self) { try LiteRTEngine(file: Golden.url("x.mlpackage")) }
    #expect(throws: DemoError.self) { try LiteRTEngine(file: Golden.url("absent.tflite")) }
  }
}

/// For `tests/e2e/test_ios.py`, which counts what was compared: at once and whole, whatever else is written.
private func say(_ line: String) {
  FileHandle.standardOutput.write(Data("\n\(line)\n".utf8))
}
