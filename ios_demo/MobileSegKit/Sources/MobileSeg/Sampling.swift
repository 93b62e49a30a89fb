/// Where the pixels of one side come from when it is stretched, by pixel centres.
struct Sampling {
  /// For each new pixel its two old neighbours, and how far it lies towards the second.
  let low: [Int]
  let high: [Int]
  let share: [Float]
  /// For each new pixel the nearest old one.
  let nearest: [Int]
  /// Stretches of new pixels between the same two old ones.
  let runs: [Range<Int>]

  init(from had: Int, to wanted: Int) {
    let last = Double(had - 1)
    let places: [Double] = (0..<wanted).map { pixel in
      let centre = (Double(pixel) + 0.5) * Double(had) / Double(wanted)
      return min(max(centre - 0.5, 0), last)
    }
    let low: [Int] = places.map { Int($0) }
    self.low = low
    high = low.map { min($0 + 1, had - 1) }
    share = zip(places, low).map { Float($0 - Double($1)) }
    // In whole numbers: some centres fall between two pixels exactly.
    nearest = (0..<wanted).map { (pixel: Int) -> Int in
      let twice: Int = 2 * pixel + 1
      return twice * had / (2 * wanted)
    }
    let starts = (0..<wanted).filter { $0 == 0 || low[$0] != low[$0 - 1] }
    runs = zip(starts, starts.dropFirst() + [wanted]).map { $0..<$1 }
  }
}
