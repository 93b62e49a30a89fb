/// What the app must know to feed a model and to read its output. `mobile_seg/manifest.py` writes it and says what the
/// fields mean; a value of this type has been checked.
public struct Manifest: Equatable, Sendable {
  /// The format that is read here.
  public static let formatVersion = 1
  /// Its name inside a model file.
  public static let member = "mobile_seg.json"

  public let model: String
  public let precision: String
  public let input: InputSpec
  public let output: OutputSpec
  public let classes: [String]
  /// One colour per class.
  public let palette: [Colour]
}

/// The image tensor, RGB, `[1, height, width, 3]`.
public struct InputSpec: Equatable, Sendable {
  /// `image` is Core ML's own: the runtime makes the tensor.
  public enum Kind: String, CaseIterable, Sendable {
    case image, uint8, int8, float32
  }

  public let height: Int
  public let width: Int
  public let dtype: Kind
  public let mean: Float
  public let std: Float
  public let normalizedOutside: Bool
}

/// The segmentation tensor: logits `[1, height, width, classes]` or class ids `[1, height, width]`.
public struct OutputSpec: Equatable, Sendable {
  public enum Kind: String, CaseIterable, Sendable {
    case logits
    case logitsFull = "logits-full"
    case labels
    case labelsNearest = "labels-nearest"

    /// Whether it holds class ids rather than logits.
    public var givesLabels: Bool { self == .labels || self == .labelsNearest }
  }

  public let kind: Kind
  public let height: Int
  public let width: Int
  public let dtype: ElementType
}

/// Red, green, blue.
public struct Colour: Equatable, Sendable {
  public let red: UInt8
  public let green: UInt8
  public let blue: UInt8

  public init(_ red: UInt8, _ green: UInt8, _ blue: UInt8) {
    (self.red, self.green, self.blue) = (red, green, blue)
  }
}
