import Testing

@testable import MobileSeg

struct PostprocessTests {
  /// The mask by the definition: every logit enlarged, the largest taken.
  func enlarged(_ logits: [Float], _ low: (Int, Int), _ depth: Int, to high: (Int, Int)) -> [UInt8] {
    func place(_ pixel: Int, _ had: Int, _ wanted: Int) -> (Int, Int, Float) {
      let centre = (Float(pixel) + 0.5) * Float(had) / Float(wanted) - 0.5
      let at = min(max(centre, 0), Float(had - 1))
      return (Int(at), min(Int(at) + 1, had - 1), at - Float(Int(at)))
    }
    return (0..<high.0 * high.1).map { at in
      let (top, bottom, down) = place(at / high.1, low.0, high.0)
      let (left, right, across) = place(at % high.1, low.1, high.1)
      let values: [Float] = (0..<depth).map { c in
        func one(_ row: Int, _ column: Int) -> Float { logits[(row * low.1 + column) * depth + c] }
        let west = one(top, left) * (1 - down) + one(bottom, left) * down
        let east = one(top, right) * (1 - down) + one(bottom, right) * down
        return west * (1 - across) + east * across
      }
      return UInt8(values.firstIndex(of: values.max()!)!)
    }
  }

  func show<Value: TensorValue>(_ values: [Value], _ type: ElementType, on mask: Mask) -> [UInt8] {
    values.withUnsafeBytes { mask.update(Output(type: type, bytes: $0)) }
    return Array(mask.labels)
  }

  @Test(arguments: [
    ((3, 4), (6, 8)), ((3, 4), (24, 32)), ((2, 3), (7, 10)), ((1, 1), (4, 4)), ((6, 8), (6, 8)), ((6, 8), (3, 4)),
  ])
  func logitsBecomeTheMaskOfEnlargedLogits(_ low: (Int, Int), _ high: (Int, Int)) {
    let depth = 5
    var seed: UInt64 = 1
    let logits: [Float] = (0..<low.0 * low.1 * depth).map { _ in
      seed = seed * 48271 % 2_147_483_647
      return Float(seed) / 0x1p31
    }
    let mask = Mask(manifest(input: high, output: low, classes: depth))
    for _ in 0..<2 {  // nothing of the last frame stays
      #expect(show(logits, .float32, on: mask) == enlarged(logits, low, depth, to: high))
    }
    #expect(mask.pixels.map { UInt8($0.littleEndian & 0xff) } == Array(mask.labels))
    #expect(abs(mask.shares.reduce(0, +) - 1) < 1e-9)
  }

  @Test func ofEqualLogitsTheFirstWinsEverywhere() {
    let mask = Mask(manifest(input: (6, 8), output: (3, 4), classes: 3, dtype: .int8))
    #expect(show([Int8](repeating: 7, count: 36), .int8, on: mask).allSatisfy { $0 == 0 })
  }

  @Test func negativeIntegersAreCompared() {
    let mask = Mask(manifest(input: (1, 2), output: (1, 2), classes: 2, dtype: .int8))
    #expect(show([Int8(-128), -127, 3, -3], .int8, on: mask) == [1, 0])
  }

  @Test func classIdsAreShownAsTheyAreAndEnlargedToTheNearest() {
    let mask = Mask(manifest(input: (6, 8), output: (3, 4), classes: 3, kind: .labels, dtype: .int64))
    let labels = show((0..<12).map { Int64($0 % 3) }, .int64, on: mask)
    #expect(Array(labels.prefix(8)) == [0, 0, 1, 1, 2, 2, 0, 0])
    #expect(labels.prefix(8) == labels[8..<16])
    #expect(mask.shares.allSatisfy { abs($0 - 1.0 / 3) < 1e-9 })
  }

  @Test(arguments: [ElementType.int32, .int16, .uint8, .float32])
  func classIdsOfEveryTypeAreRead(_ type: ElementType) {
    let mask = Mask(manifest(input: (1, 3), output: (1, 3), classes: 3, kind: .labels, dtype: type))
    switch type {
    case .int32: #expect(show([Int32(2), 0, 1], type, on: mask) == [2, 0, 1])
    case .int16: #expect(show([Int16(2), 0, 1], type, on: mask) == [2, 0, 1])
    case .uint8: #expect(show([UInt8(2), 0, 1], type, on: mask) == [2, 0, 1])
    default: #expect(show([Float(2), .nan, 1], type, on: mask) == [2, 255, 1])
    }
  }

  @Test func coloursAreRedGreenBlueAlphaAndNothingBeyondThePalette() {
    let words = paletteWords([Colour(1, 2, 3)])
    #expect(words.count == 256)
    #expect(withUnsafeBytes(of: words[0]) { Array($0) } == [1, 2, 3, 255])
    #expect(words[255] == 0)
  }
}
