import Foundation

/// What can go wrong here, with a message that a person can act on.
public struct DemoError: LocalizedError, Equatable, Sendable {
  /// One or two sentences: the cause, then what to do.
  public let message: String

  public init(_ message: String) {
    self.message = message
  }

  public var errorDescription: String? { message }
}

/// A runtime could not load or run a model on the units it was given; on others it may.
public struct UnitsError: Error, Equatable, Sendable {
  /// What the runtime said, without a full stop.
  public let reason: String

  public init(_ reason: String) {
    self.reason = reason
  }

  /// What a framework threw.
  public init(of error: any Error) {
    self.init(error.localizedDescription.trimmingCharacters(in: CharacterSet(charactersIn: ". \n")))
  }
}

/// The text to show for anything thrown.
public func describe(_ error: any Error) -> String {
  switch error {
  case let error as DemoError: error.message
  case let error as UnitsError: "The model cannot be run: \(error.reason)."
  default:
    "Unexpected: \(error.localizedDescription) Start the app again; if it happens again, report it with this text."
  }
}
