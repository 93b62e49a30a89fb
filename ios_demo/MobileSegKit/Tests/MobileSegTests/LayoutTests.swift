import Testing

@testable import MobileSeg

struct LayoutTests {
  @Test func denseIsWhatHasNoGaps() {
    #expect(TensorLayout(shape: [1, 3, 4], strides: [12, 4, 1]).isDense)
    #expect(TensorLayout(shape: [1, 3, 4], strides: [999, 4, 1]).isDense)
    #expect(!TensorLayout(shape: [1, 3, 4], strides: [24, 8, 1]).isDense)
    #expect(!TensorLayout(shape: [3, 4], strides: [1, 3]).isDense)
  }

  @Test(arguments: [
    TensorLayout(shape: [1, 2, 3], strides: [16, 8, 1]), TensorLayout(shape: [2, 3], strides: [1, 2]),
    TensorLayout(shape: [1, 2, 3, 1], strides: [64, 32, 8, 1]), TensorLayout(shape: [2, 1, 3], strides: [3, 3, 1]),
  ])
  func gapsAreLeftOut(_ layout: TensorLayout) {
    let memory: [Int32] = (0..<64).map { Int32($0) }
    var compact = [Int32](repeating: -1, count: layout.count)
    memory.withUnsafeBytes { source in
      compact.withUnsafeMutableBytes { layout.compact(source.baseAddress!, itemBytes: 4, into: $0) }
    }
    let sides = layout.shape.filter { $0 > 1 }
    let steps = zip(layout.shape, layout.strides).filter { $0.0 > 1 }.map(\.1)
    let expected = (0..<sides[0]).flatMap { y in (0..<sides[1]).map { Int32(y * steps[0] + $0 * steps[1]) } }
    #expect(compact == expected)
  }
}
