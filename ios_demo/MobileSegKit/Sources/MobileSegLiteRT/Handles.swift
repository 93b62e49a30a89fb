import CLiteRT
import MobileSeg

/// One thing of LiteRT's, destroyed with its owner.
final class Handle<Pointer> {
  let pointer: Pointer
  private let destroy: (Pointer) -> Void

  /// - Parameters:
  ///   - what: it is, for messages.
  ///   - make: LiteRT's function that makes it.
  ///   - destroy: LiteRT's function that destroys it.
  init(_ what: String, _ make: (UnsafeMutablePointer<Pointer?>) -> LiteRtStatus, destroy: @escaping (Pointer) -> Void)
    throws
  {
    pointer = try ask(what, make)
    self.destroy = destroy
  }

  deinit {
    destroy(pointer)
  }
}

/// What a function of LiteRT gives.
///
/// - Throws: `UnitsError` with its status.
func ask<Value>(_ what: String, _ function: (UnsafeMutablePointer<Value?>) -> LiteRtStatus) throws -> Value {
  var value: Value?
  try check(what, function(&value))
  guard let value else { throw UnitsError("LiteRT gave no \(what)") }
  return value
}

/// - Throws: `UnitsError` if the status is not success.
func check(_ what: String, _ status: LiteRtStatus) throws {
  if status != 0 { throw UnitsError("LiteRT refused the \(what) with status \(status)") }
}
