/// The type of a tensor's values, by the names that a manifest has for them.
public enum ElementType: String, CaseIterable, Sendable {
  case float32, int64, int32, int16, int8, uint8

  public var bytes: Int {
    switch self {
    case .int64: 8
    case .float32, .int32: 4
    case .int16: 2
    case .int8, .uint8: 1
    }
  }
}

/// What a tensor is, whichever runtime holds it.
public struct TensorInfo: Equatable, Sendable, CustomStringConvertible {
  /// As the manifest names it; what no manifest can say has a name of the runtime's.
  public let dtype: String
  public let shape: [Int]

  public init(dtype: String, shape: [Int]) {
    self.dtype = dtype
    self.shape = shape
  }

  public var description: String { "\(dtype) \(shape)" }

  /// Check what a file holds against what its manifest says.
  ///
  /// - Throws: `DemoError` if they differ.
  public func match(_ said: TensorInfo, role: String, file: String) throws {
    if self == said { return }
    throw DemoError(
      "\(file): its \(role) is \(self) but its manifest says \(said); they are not of one model. Export it again.")
  }
}

extension Manifest {
  /// The image tensor that the manifest promises.
  public var inputTensor: TensorInfo {
    TensorInfo(dtype: input.dtype.rawValue, shape: [1, input.height, input.width, 3])
  }

  /// The segmentation tensor that the manifest promises.
  public var outputTensor: TensorInfo {
    let places = [1, output.height, output.width]
    return TensorInfo(dtype: output.dtype.rawValue, shape: output.kind.givesLabels ? places : places + [classes.count])
  }
}
