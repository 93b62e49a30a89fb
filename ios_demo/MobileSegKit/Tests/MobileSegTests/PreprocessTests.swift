import Testing

@testable import MobileSeg

struct PreprocessTests {
  static let image = try! RGBImage(height: 1, width: 2, bytes: [0, 128, 255, 255, 128, 0])

  func packed<Value: BitwiseCopyable>(_ dtype: InputSpec.Kind, normalized: Bool = false, as: Value.Type) throws
    -> [Value]
  {
    let spec = InputSpec(height: 1, width: 2, dtype: dtype, mean: 127.5, std: 127.5, normalizedOutside: normalized)
    let packer = try Packer(spec)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 6 * MemoryLayout<Value>.size, alignment: 8)
    defer { memory.deallocate() }
    packer.pack(Self.image, into: memory)
    return Array(memory.bindMemory(to: Value.self))
  }

  @Test func bytesBecomeWhatTheTensorHolds() throws {
    #expect(try packed(.uint8, as: UInt8.self) == [0, 128, 255, 255, 128, 0])
    #expect(try packed(.int8, as: Int8.self) == [-128, 0, 127, 127, 0, -128])
    #expect(try packed(.float32, as: Float.self) == [0, 128, 255, 255, 128, 0])
    let normalized = try packed(.float32, normalized: true, as: Float.self)
    #expect((normalized[0], normalized[2]) == (-1, 1))
  }

  @Test func whatDoesNotFitIsSaid() throws {
    #expect(message { _ = try RGBImage(height: 2, width: 2, bytes: [1]) }.contains("has 12 bytes, 1 were given"))
    let other = InputSpec(height: 3, width: 2, dtype: .uint8, mean: 0, std: 1, normalizedOutside: false)
    #expect(message { try Self.image.demand(other) }.contains("1 x 2 pixels, the model takes 3 x 2"))
    let platforms = InputSpec(height: 1, width: 2, dtype: .image, mean: 0, std: 1, normalizedOutside: false)
    #expect(message { _ = try Packer(platforms) }.contains("an image of the platform's own"))
  }
}
