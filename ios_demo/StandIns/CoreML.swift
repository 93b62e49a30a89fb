@_exported import CoreVideo

public enum MLComputeUnits: Int {
  case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine
}

public class MLModelConfiguration {
  public var computeUnits = MLComputeUnits.all

  public init() {}
}

public class MLModel {
  public var modelDescription: MLModelDescription { fatalError() }

  public class func compileModel(at: URL) async throws -> URL { fatalError() }
  public class func load(contentsOf: URL, configuration: MLModelConfiguration) async throws -> MLModel { fatalError() }
}

public struct MLModelMetadataKey: Hashable {
  public static let creatorDefinedKey = MLModelMetadataKey()
}

public class MLModelDescription {
  public var inputDescriptionsByName: [String: MLFeatureDescription] { fatalError() }
  public var metadata: [MLModelMetadataKey: Any] { fatalError() }
  public var outputDescriptionsByName: [String: MLFeatureDescription] { fatalError() }
}

public class MLFeatureDescription {
  public var imageConstraint: MLImageConstraint? { nil }
  public var multiArrayConstraint: MLMultiArrayConstraint? { nil }
}

public class MLImageConstraint {
  public var pixelsHigh: Int { 0 }
  public var pixelsWide: Int { 0 }
}

public class MLMultiArrayConstraint {
  public var dataType: MLMultiArrayDataType { fatalError() }
  public var shape: [NSNumber] { [] }
}

public enum MLMultiArrayDataType: Int {
  case double, float32, float16, int32
}

public class MLMultiArray {
  public var dataType: MLMultiArrayDataType { fatalError() }
  public var shape: [NSNumber] { [] }
  public var strides: [NSNumber] { [] }

  public func withUnsafeBytes<R>(_: (UnsafeRawBufferPointer) throws -> R) rethrows -> R { fatalError() }
}

public class MLFeatureValue {
  public var multiArrayValue: MLMultiArray? { nil }
}
