import CLiteRT
import MobileSeg

/// LiteRT's element types by their numbers (`LiteRtElementType`).
private let elementTypes: [Int32: ElementType] = [
  1: .float32, 2: .int32, 3: .uint8, 4: .int64, 7: .int16, 9: .int8,
]

extension LiteRtRankedTensorType {
  var info: TensorInfo {
    let dtype = elementTypes[element_type]?.rawValue ?? "LiteRT's type \(element_type)"
    let dimensions = withUnsafeBytes(of: layout.dimensions) { Array($0.bindMemory(to: Int32.self)) }
    return TensorInfo(dtype: dtype, shape: dimensions.prefix(Int(layout.rank)).map(Int.init))
  }
}

/// One tensor's memory, lent while it is locked.
final class TensorBuffer {
  private let handle: Handle<LiteRtTensorBuffer>
  private let bytes: Int

  init(
    _ environment: LiteRtEnvironment, _ type: LiteRtRankedTensorType, _ requirements: LiteRtTensorBufferRequirements
  ) throws {
    handle = try Handle(
      "tensor's memory",
      { made in
        withUnsafePointer(to: type) {
          LiteRtCreateManagedTensorBufferFromRequirements(environment, $0, requirements, made)
        }
      }, destroy: LiteRtDestroyTensorBuffer)
    var size = 0
    try check("tensor's size", LiteRtGetTensorBufferPackedSize(handle.pointer, &size))
    bytes = size
  }

  var pointer: LiteRtTensorBuffer { handle.pointer }

  func write(_ body: (UnsafeMutableRawBufferPointer) throws -> Void) throws {
    try locked(kLiteRtLockWrite) { try body($0) }
  }

  func read<Value>(_ body: (UnsafeRawBufferPointer) throws -> Value) throws -> Value {
    try locked(kLiteRtLockRead) { try body(UnsafeRawBufferPointer($0)) }
  }

  private func locked<Value>(_ mode: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Value) throws -> Value {
    let address = try ask("tensor") { LiteRtLockTensorBuffer(pointer, $0, Int32(mode)) }
    defer { LiteRtUnlockTensorBuffer(pointer) }
    return try body(UnsafeMutableRawBufferPointer(start: address, count: bytes))
  }
}
