/// An image at the model's input size, three bytes per pixel, row by row.
public struct RGBImage: Equatable, Sendable {
  public let height: Int
  public let width: Int
  public let bytes: [UInt8]

  /// - Throws: `DemoError` if there are not `height * width * 3` bytes.
  public init(height: Int, width: Int, bytes: [UInt8]) throws {
    guard bytes.count == height * width * 3 else {
      throw DemoError("An image of \(height) x \(width) has \(height * width * 3) bytes, \(bytes.count) were given.")
    }
    (self.height, self.width, self.bytes) = (height, width, bytes)
  }

  /// - Throws: `DemoError` if it is of another size than the model takes.
  public func demand(_ spec: InputSpec) throws {
    if (height, width) == (spec.height, spec.width) { return }
    throw DemoError(
      "The image has \(height) x \(width) pixels, the model takes \(spec.height) x \(spec.width). Resize it first.")
  }
}

/// From an image's bytes to what a tensor holds. Where a runtime takes images, as Core ML does, it is not needed.
public struct Packer: Sendable {
  private let dtype: InputSpec.Kind
  private let reals: [Float]

  /// - Throws: `DemoError` if the model takes no tensor of values.
  public init(_ spec: InputSpec) throws {
    guard spec.dtype != .image else {
      throw DemoError("The model takes an image of the platform's own, not a tensor. Export it with --to tflite.")
    }
    dtype = spec.dtype
    // Rounded to float32 after each step, as the exporter's own runner does.
    reals = (0..<256).map { spec.normalizedOutside ? (Float($0) - spec.mean) / spec.std : Float($0) }
  }

  /// Write an image into a tensor's memory, in one pass.
  public func pack(_ image: RGBImage, into tensor: UnsafeMutableRawBufferPointer) {
    image.bytes.withUnsafeBytes { bytes in
      switch dtype {
      case .uint8, .image: tensor.copyMemory(from: bytes)
      case .int8: fill(tensor, Int8.self, from: bytes) { Int8(bitPattern: $0 &- 128) }
      case .float32: fill(tensor, Float.self, from: bytes) { reals[Int($0)] }
      }
    }
  }

  private func fill<Value>(
    _ tensor: UnsafeMutableRawBufferPointer, _: Value.Type, from bytes: UnsafeRawBufferPointer,
    _ value: (UInt8) -> Value
  ) {
    let values = tensor.bindMemory(to: Value.self)
    for at in 0..<bytes.count { values[at] = value(bytes[at]) }
  }
}
