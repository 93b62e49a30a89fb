import Foundation
import MobileSeg
import MobileSegLiteRT

/// `measure MODEL.tflite IMAGE.rgb`: the median time of each stage on this machine, as JSON. The image is raw RGB at the
/// model's input size.
func measure(_ model: URL, _ image: URL) throws {
  let (warmup, runs) = (5, 50)
  let engine = try LiteRTEngine(file: model)
  let spec = engine.manifest.input
  let frame = try RGBImage(height: spec.height, width: spec.width, bytes: [UInt8](Data(contentsOf: image)))
  let pipeline = Pipeline(engine, manifest: engine.manifest)
  let times = try (0..<warmup + runs).map { _ in try pipeline.run(frame) }.dropFirst(warmup)
  var medians: [String: Any] = ["runs": runs, "warmup": warmup]
  for stage in [Stage.pre, .inference, .post] {
    medians["\(stage.rawValue)_ms"] = median(times.compactMap { $0[stage] })
  }
  let json = try JSONSerialization.data(withJSONObject: medians, options: [.prettyPrinted, .sortedKeys])
  print(String(decoding: json, as: UTF8.self))
}

let files = CommandLine.arguments.dropFirst().map(URL.init(fileURLWithPath:))
guard files.count == 2 else {
  FileHandle.standardError.write(Data("usage: measure MODEL.tflite IMAGE.rgb\n".utf8))
  exit(2)
}
do {
  try measure(files[0], files[1])
} catch {
  FileHandle.standardError.write(Data("error: \(describe(error))\n".utf8))
  exit(1)
}
