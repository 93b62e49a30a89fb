import Foundation
import MobileSeg
import Testing

/// The files that Python wrote (`tests/golden/apps.py` says what they are), in the folder that MOBILE_SEG_GOLDEN names.
enum Golden {
  static let folder = ProcessInfo.processInfo.environment["MOBILE_SEG_GOLDEN"].map(URL.init(fileURLWithPath:))
  static let index: Index? = folder.map { folder in
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let json = try! Data(contentsOf: folder.appendingPathComponent("index.json"))
    return try! decoder.decode(Index.self, from: json)
  }
  static var cases: [Case] { index?.cases ?? [] }
  static var bad: [Bad] { index?.bad ?? [] }

  struct Index: Decodable {
    let formatVersion: Int
    let cases: [Case]
    let bad: [Bad]
  }

  struct Case: Decodable, CustomTestStringConvertible, Sendable {
    let name, model, image, output, labels, margin: String
    let height, width: Int
    let logits: Bool
    let tolerance: Double

    var testDescription: String { name }

    func picture() throws -> RGBImage {
      try RGBImage(height: height, width: width, bytes: [UInt8](Golden.read(image)))
    }
  }

  struct Bad: Decodable, CustomTestStringConvertible, Sendable {
    let file, what, says: String

    var testDescription: String { what }
  }

  static func url(_ path: String) -> URL {
    folder!.appendingPathComponent(path)
  }

  static func read(_ path: String) throws -> Data {
    try Data(contentsOf: url(path))
  }
}

/// A tensor's values as real numbers, from its little-endian bytes.
func reals(_ bytes: Data, _ type: ElementType) -> [Double] {
  func values<Value>(_: Value.Type, _ real: (Value) -> Double) -> [Double] {
    bytes.withUnsafeBytes { raw in
      (0..<raw.count / MemoryLayout<Value>.size).map {
        real(raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Value>.size, as: Value.self))
      }
    }
  }
  return switch type {
  case .float32: values(UInt32.self) { Double(Float(bitPattern: UInt32(littleEndian: $0))) }
  case .int64: values(Int64.self) { Double(Int64(littleEndian: $0)) }
  case .int32: values(Int32.self) { Double(Int32(littleEndian: $0)) }
  case .int16: values(Int16.self) { Double(Int16(littleEndian: $0)) }
  case .int8: values(Int8.self) { Double($0) }
  case .uint8: values(UInt8.self) { Double($0) }
  }
}
