/// The class ids, their colours and each class's share, at the model's input size: made once per model and written over
/// with every frame, in one pass.
public final class Mask {
  public let height: Int
  public let width: Int

  private let depth: Int
  private let rows: Int
  private let columns: Int
  private let givesLabels: Bool
  private let vertical: Sampling
  private let horizontal: Sampling
  private let best: Buffer<UInt8>
  private let ids: Buffer<UInt8>
  private let colours: Buffer<UInt32>
  private let palette: Buffer<UInt32>
  private let counts = Buffer(256, filledWith: 0)
  private let corners: Buffer<Float>

  public init(_ manifest: Manifest) {
    (height, width) = (manifest.input.height, manifest.input.width)
    (rows, columns) = (manifest.output.height, manifest.output.width)
    depth = manifest.classes.count
    givesLabels = manifest.output.kind.givesLabels
    vertical = Sampling(from: rows, to: height)
    horizontal = Sampling(from: columns, to: width)
    best = Buffer(rows * columns, filledWith: 0)
    ids = Buffer(height * width, filledWith: 0)
    colours = Buffer(height * width, filledWith: 0)
    corners = Buffer(2 * depth, filledWith: 0)
    palette = Buffer(paletteWords(manifest.palette), else: 0)
  }

  /// Class ids `[height, width]`, until the next frame.
  public var labels: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(ids.values) }

  /// Their colours `[height, width]`, until the next frame: bytes red, green, blue, alpha.
  public var pixels: UnsafeBufferPointer<UInt32> { UnsafeBufferPointer(colours.values) }

  /// Each class's share of the mask, 0 to 1.
  public var shares: [Double] {
    (0..<depth).map { Double(counts.values[$0]) / Double(height * width) }
  }

  /// Take a model's output.
  public func update(_ output: Output) {
    counts.values.update(repeating: 0)
    switch output.type {
    case .float32: take(output.values(Float.self))
    case .int64: take(output.values(Int64.self))
    case .int32: take(output.values(Int32.self))
    case .int16: take(output.values(Int16.self))
    case .int8: take(output.values(Int8.self))
    case .uint8: take(output.values(UInt8.self))
    }
  }

  private func take<Value: TensorValue>(_ values: UnsafeBufferPointer<Value>) {
    if givesLabels {
      show(values)
    } else {
      largest(values)
      if (rows, columns) == (height, width) {
        show(UnsafeBufferPointer(best.values))
      } else {
        enlarge(values)
      }
    }
  }

  /// Class ids as they are, the nearest one where sizes differ.
  private func show<Value: TensorValue>(_ values: UnsafeBufferPointer<Value>) {
    for y in 0..<height {
      let row = vertical.nearest[y] * columns
      for x in 0..<width { set(y * width + x, values[row + horizontal.nearest[x]].label) }
    }
  }

  /// Which logit is the largest at each place, the first of equals.
  private func largest<Value: TensorValue>(_ logits: UnsafeBufferPointer<Value>) {
    for place in 0..<best.values.count {
      let at = place * depth
      var label = 0
      for c in 1..<max(depth, 1) where logits[at + c] > logits[at + label] { label = c }
      best.values[place] = UInt8(label)
    }
  }

  /// Logits enlarged bilinearly, then the largest wins, the first of equals.
  ///
  /// Where the four logits around a pixel agree on the class, so does everything between them: an average of numbers
  /// that are each the largest of theirs is the largest. Only the cells at borders are interpolated.
  private func enlarge<Value: TensorValue>(_ logits: UnsafeBufferPointer<Value>) {
    for y in 0..<height {
      let (top, bottom) = (vertical.low[y] * columns, vertical.high[y] * columns)
      for run in horizontal.runs {
        let (left, right) = (horizontal.low[run.lowerBound], horizontal.high[run.lowerBound])
        let label = best.values[top + left]
        if label == best.values[top + right], label == best.values[bottom + left],
          label == best.values[bottom + right]
        {
          fill(y * width + run.lowerBound..<y * width + run.upperBound, label)
        } else {
          blend(logits, top + left, bottom + left, into: 0, share: vertical.share[y])
          blend(logits, top + right, bottom + right, into: depth, share: vertical.share[y])
          interpolate(y, run)
        }
      }
    }
  }

  /// The logits between two places one above the other.
  private func blend<Value: TensorValue>(
    _ logits: UnsafeBufferPointer<Value>, _ upper: Int, _ lower: Int, into start: Int, share: Float
  ) {
    for c in 0..<depth {
      let (above, below) = (logits[upper * depth + c].real, logits[lower * depth + c].real)
      corners.values[start + c] = above + (below - above) * share
    }
  }

  private func interpolate(_ y: Int, _ run: Range<Int>) {
    let sides = corners.values
    for x in run {
      let share = horizontal.share[x]
      var (label, most) = (0, -Float.infinity)
      for c in 0..<depth {
        let value = sides[c] + (sides[depth + c] - sides[c]) * share
        if value > most { (label, most) = (c, value) }
      }
      set(y * width + x, UInt8(label))
    }
  }

  private func fill(_ places: Range<Int>, _ label: UInt8) {
    ids.values[places].update(repeating: label)
    colours.values[places].update(repeating: palette.values[Int(label)])
    counts.values[Int(label)] += places.count
  }

  private func set(_ place: Int, _ label: UInt8) {
    ids.values[place] = label
    colours.values[place] = palette.values[Int(label)]
    counts.values[Int(label)] += 1
  }
}

/// The classes' colours as pixels, one for each byte; what is beyond the palette is transparent.
func paletteWords(_ palette: [Colour]) -> [UInt32] {
  let words = palette.map { colour in
    UInt32(littleEndian: UInt32(colour.red) | UInt32(colour.green) << 8 | UInt32(colour.blue) << 16 | 0xff00_0000)
  }
  return words + Array(repeating: 0, count: 256 - words.count)
}
