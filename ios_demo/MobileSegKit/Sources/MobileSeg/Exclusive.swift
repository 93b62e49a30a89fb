import Dispatch

/// A resource with exactly one owner: it is lent on one queue only, one caller after the other, and replaced there.
public final class Exclusive<Resource>: @unchecked Sendable {
  // Unchecked: `resource` is touched on `queue` alone.
  private let queue: DispatchQueue
  private var resource: Resource?

  public init(label: String) {
    queue = DispatchQueue(label: label, qos: .userInitiated)
  }

  /// Put another resource in its place, between two calls.
  public func replace(with resource: Resource) async {
    await withCheckedContinuation { continuation in
      queue.async {
        self.resource = resource
        continuation.resume()
      }
    }
  }

  /// Lend it for one call.
  ///
  /// - Throws: `DemoError` if there is none, and what `body` throws.
  public func perform<Value>(_ body: @escaping (Resource) throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      queue.async {
        continuation.resume(
          with: Result {
            guard let resource = self.resource else { throw DemoError("No model is open. Choose one.") }
            return try body(resource)
          })
      }
    }
  }
}
