import Foundation

@testable import MobileSeg

/// A manifest as it is written, to be changed in one place.
let written: [String: Any] = [
  "model": "tiny",
  "precision": "int8",
  "input": [
    "height": 6, "width": 8, "dtype": "uint8", "mean": 128.0, "std": 128.0, "normalized_outside": false,
    "name": "image", "resize": "stretch-bilinear", "layout": "nhwc",
  ] as [String: Any],
  "output": ["kind": "logits", "height": 3, "width": 4, "dtype": "int8", "layout": "nhwc"] as [String: Any],
  "classes": ["road", "sky", "tree"],
  "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
  "ignore": 255,
  "task": "semantic",
  "versions": ["mobile-seg": "0.1"],
  "format_version": 1,
]

/// Its bytes with one field changed; `input.height` names one inside of an object, nil takes it away.
func changed(_ path: String = "model", to value: Any? = "tiny") -> Data {
  var manifest = written
  let keys = path.split(separator: ".").map(String.init)
  if keys.count == 1 {
    manifest[keys[0]] = value
  } else {
    var inner = manifest[keys[0]] as! [String: Any]
    inner[keys[1]] = value
    manifest[keys[0]] = inner
  }
  return try! JSONSerialization.data(withJSONObject: manifest)
}

/// A manifest of these sizes and classes.
func manifest(
  input: (Int, Int), output: (Int, Int), classes: Int, kind: OutputSpec.Kind = .logits, dtype: ElementType = .float32
) -> Manifest {
  Manifest(
    model: "tiny", precision: "float32",
    input: InputSpec(
      height: input.0, width: input.1, dtype: .uint8, mean: 0, std: 1, normalizedOutside: false),
    output: OutputSpec(kind: kind, height: output.0, width: output.1, dtype: dtype),
    classes: Array(repeating: "x", count: classes),
    palette: (0..<classes).map { Colour(UInt8($0), 0, 0) })
}

/// The message of what a body throws; empty if it throws nothing.
func message(of body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch {
    return describe(error)
  }
}

/// A folder that is gone when the body returns.
func withTemporaryFolder<Value>(_ body: (URL) throws -> Value) throws -> Value {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder)
}
