import Foundation
import Testing

@testable import MobileSeg

struct ManifestTests {
  struct Refused: CustomTestStringConvertible, Sendable {
    let what: String
    let json: Data
    let says: String

    var testDescription: String { what }
  }

  static let refused: [Refused] = [
    Refused(what: "no JSON", json: Data("{".utf8), says: "not JSON"),
    Refused(what: "no object", json: Data("[]".utf8), says: "cannot be used"),
    Refused(what: "newer", json: changed("format_version", to: 2), says: "format 2, this app reads 1. Update the app"),
    Refused(what: "older", json: changed("format_version", to: 0), says: "format 0"),
    Refused(what: "no version", json: changed("format_version", to: nil), says: "formatVersion is missing"),
    Refused(what: "no model", json: changed("model", to: nil), says: "model is missing"),
    Refused(what: "no classes", json: changed("classes", to: [String]()), says: "names no classes"),
    Refused(what: "colours missing", json: changed("palette", to: [[1, 2, 3]]), says: "3 classes but 1 colours"),
    Refused(
      what: "a wrong colour", json: changed("palette", to: [[1, 2, 3], [1, 2], [3, 3, 3]]), says: "three bytes"),
    Refused(
      what: "a colour too bright", json: changed("palette", to: [[1, 2, 3], [1, 2, 256], [3, 3, 3]]),
      says: "three bytes"),
    Refused(what: "panoptic", json: changed("task", to: "panoptic"), says: "task panoptic, expected semantic"),
    Refused(what: "no input", json: changed("input", to: nil), says: "input is missing"),
    Refused(what: "no height", json: changed("input.height", to: nil), says: "input.height is missing"),
    Refused(what: "a height in words", json: changed("input.height", to: "six"), says: "input.height is not"),
    Refused(what: "a width of zero", json: changed("input.width", to: 0), says: "input has no size"),
    Refused(what: "no output size", json: changed("output.width", to: -1), says: "output has no size"),
    Refused(
      what: "an unknown dtype", json: changed("input.dtype", to: "float16"), says: "float16, expected image, uint8"),
    Refused(what: "another resize", json: changed("input.resize", to: "letterbox"), says: "letterbox"),
    Refused(what: "another layout", json: changed("output.layout", to: "nchw"), says: "nchw"),
    Refused(what: "an unknown output", json: changed("output.kind", to: "boxes"), says: "boxes, expected logits"),
  ]

  @Test func everythingIsRead() throws {
    let read = try Manifest(json: changed(), file: "x.tflite")
    #expect(read.classes == ["road", "sky", "tree"])
    #expect(read.palette[1] == Colour(4, 5, 6))
    #expect(read.input == InputSpec(height: 6, width: 8, dtype: .uint8, mean: 128, std: 128, normalizedOutside: false))
    #expect(read.output == OutputSpec(kind: .logits, height: 3, width: 4, dtype: .int8))
    #expect(read.inputTensor == TensorInfo(dtype: "uint8", shape: [1, 6, 8, 3]))
    #expect(read.outputTensor == TensorInfo(dtype: "int8", shape: [1, 3, 4, 3]))
  }

  @Test(arguments: refused)
  func isRefused(_ one: Refused) {
    let said = message { _ = try Manifest(json: one.json, file: "x.tflite") }
    #expect(said.contains(one.says), "\(said)")
    #expect(said.contains("x.tflite"))
    #expect(!said.contains("Unexpected"))
  }

  @Test(arguments: [("int8", 128.0, "--io uint8"), ("float32", 0.0, "divides by std")])
  func normalizedValuesNeedAScale(_ dtype: String, _ std: Double, _ says: String) {
    var input = written["input"] as! [String: Any]
    input.merge(["dtype": dtype, "std": std, "normalized_outside": true]) { $1 }
    #expect(message { _ = try Manifest(json: changed("input", to: input), file: "x") }.contains(says))
  }

  @Test func isReadFromTheFileThatCarriesIt() throws {
    let model = Data([0, 0, 0, 0] + Array("TFL3".utf8) + [UInt8](repeating: 0, count: 40))
    let json = String(decoding: changed(), as: UTF8.self)
    let read = try Manifest(tflite: model + archive([("mobile_seg.json", json)], base: 48), file: "x.tflite")
    #expect(try Manifest(json: changed(), file: "x.tflite") == read)
    #expect(message { _ = try Manifest(tflite: model, file: "x.tflite") }.hasPrefix("x.tflite carries no manifest"))
    #expect(message { _ = try Manifest(tflite: Data("text".utf8), file: "x.txt") }.contains("not a TFLite model"))
  }

  @Test func aModelIsWhatItsManifestSays() throws {
    let said = TensorInfo(dtype: "uint8", shape: [1, 6, 8, 3])
    try said.match(said, role: "input", file: "x")
    for other in [TensorInfo(dtype: "int8", shape: said.shape), TensorInfo(dtype: "uint8", shape: [1, 6, 9, 3])] {
      let words = message { try other.match(said, role: "input", file: "x.tflite") }
      #expect(words.contains("but its manifest says uint8 [1, 6, 8, 3]"))
    }
  }

  @Test(arguments: [
    (ModelFormat.coreML, "x.tflite", "--to coreml"), (.tflite, "x.mlpackage", "--to tflite"),
    (.coreML, "x.onnx", "mobile-seg export"),
  ])
  func eachRuntimeSaysWhatItDoesNotTake(_ format: ModelFormat, _ file: String, _ says: String) throws {
    #expect(message { try ModelFormat.demand(format, of: file) }.contains(says))
    try ModelFormat.demand(format, of: "x.\(format.rawValue)")
  }
}
