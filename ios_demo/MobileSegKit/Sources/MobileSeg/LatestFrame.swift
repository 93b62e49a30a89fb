import Foundation

/// Where the camera leaves frames and the model takes them: the latest only. A frame that nobody took is dropped when
/// the next one comes, so that the picture never lags behind.
public final class LatestFrame<Frame>: @unchecked Sendable {
  // Unchecked: `state` is touched under `lock` alone.
  private enum State {
    case empty
    case full(Frame)
    case awaited(CheckedContinuation<Frame, any Error>)
    case closed(DemoError)
  }

  private let lock = NSLock()
  private var state = State.empty

  public init() {}

  public func put(_ frame: Frame) {
    lock.withLock {
      switch state {
      case .empty, .full: state = .full(frame)
      case .closed: break
      case .awaited(let taker):
        state = .empty
        taker.resume(returning: frame)
      }
    }
  }

  /// Nobody may wait for a frame that never comes.
  public func close(_ reason: DemoError) {
    lock.withLock {
      if case .awaited(let taker) = state { taker.resume(throwing: reason) }
      state = .closed(reason)
    }
  }

  /// The next frame. One taker at a time.
  ///
  /// - Throws: `DemoError` if it was closed.
  public func next() async throws -> Frame {
    try await withCheckedThrowingContinuation { continuation in
      lock.withLock {
        switch state {
        case .full(let frame):
          state = .empty
          continuation.resume(returning: frame)
        case .empty: state = .awaited(continuation)
        case .awaited: continuation.resume(throwing: DemoError("Two are waiting for the same camera."))
        case .closed(let reason): continuation.resume(throwing: reason)
        }
      }
    }
  }
}
