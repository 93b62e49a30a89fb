/// A model's output where it lies, row by row without gaps, the batch axis left out.
public struct Output {
  public let type: ElementType
  public let bytes: UnsafeRawBufferPointer

  public init(type: ElementType, bytes: UnsafeRawBufferPointer) {
    (self.type, self.bytes) = (type, bytes)
  }

  func values<Value>(_: Value.Type) -> UnsafeBufferPointer<Value> {
    bytes.bindMemory(to: Value.self)
  }
}

/// What a tensor holds: logits or class ids.
protocol TensorValue: Comparable {
  var real: Float { get }
  var label: UInt8 { get }
}

extension TensorValue where Self: BinaryInteger {
  var real: Float { Float(self) }
  var label: UInt8 { UInt8(truncatingIfNeeded: self) }
}

extension Int64: TensorValue {}
extension Int32: TensorValue {}
extension Int16: TensorValue {}
extension Int8: TensorValue {}
extension UInt8: TensorValue {}

extension Float: TensorValue {
  var real: Float { self }
  /// Beyond every palette where it is no class id.
  var label: UInt8 { UInt8(exactly: self) ?? UInt8.max }
}
