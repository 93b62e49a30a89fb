/// How a runtime lays out a tensor in memory, in elements.
public struct TensorLayout: Equatable, Sendable {
  public let shape: [Int]
  public let strides: [Int]

  public init(shape: [Int], strides: [Int]) {
    (self.shape, self.strides) = (shape, strides)
  }

  public var count: Int { shape.reduce(1, *) }

  /// Whether it lies row by row without gaps; an axis of one element may have any stride.
  public var isDense: Bool {
    var expected = 1
    for (size, stride) in zip(shape, strides).reversed() where size > 1 {
      if stride != expected { return false }
      expected *= size
    }
    return true
  }

  /// Copy without the gaps: Core ML pads rows for some compute units.
  ///
  /// - Parameters:
  ///   - source: of the first element.
  ///   - target: of `count` elements.
  public func compact(_ source: UnsafeRawPointer, itemBytes: Int, into target: UnsafeMutableRawBufferPointer) {
    guard let width = shape.last, let step = strides.last, count > 0 else { return }
    for row in 0..<count / width {
      var (rest, from) = (row, 0)
      for axis in shape.indices.dropLast().reversed() {
        from += rest % shape[axis] * strides[axis]
        rest /= shape[axis]
      }
      let to = target.baseAddress! + row * width * itemBytes
      if step == 1 {
        to.copyMemory(from: source + from * itemBytes, byteCount: width * itemBytes)
      } else {
        for x in 0..<width {
          (to + x * itemBytes).copyMemory(from: source + (from + x * step) * itemBytes, byteCount: itemBytes)
        }
      }
    }
  }
}
