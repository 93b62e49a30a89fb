/// Memory with one owner: taken when it is made, given back with it. For what is written over with every frame.
final class Buffer<Element: BitwiseCopyable> {
  let values: UnsafeMutableBufferPointer<Element>

  init(_ count: Int, filledWith value: Element) {
    values = .allocate(capacity: count)
    values.initialize(repeating: value)
  }

  convenience init(_ elements: [Element], else value: Element) {
    self.init(elements.count, filledWith: value)
    _ = values.update(fromContentsOf: elements)
  }

  deinit {
    values.deallocate()
  }
}
