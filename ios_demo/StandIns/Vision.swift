@_exported import CoreML

public class VNObservation {}

public class VNCoreMLFeatureValueObservation: VNObservation {
  public var featureValue: MLFeatureValue { fatalError() }
}

public class VNRequest {
  public var results: [VNObservation]? { nil }
}

public enum VNImageCropAndScaleOption {
  case centerCrop, scaleFit, scaleFill
}

public class VNCoreMLModel {
  public init(for: MLModel) throws {}
}

public class VNCoreMLRequest: VNRequest {
  public var imageCropAndScaleOption = VNImageCropAndScaleOption.centerCrop

  public init(model: VNCoreMLModel) {}
}

public struct VNImageOption: Hashable {}

public class VNImageRequestHandler {
  public init(cvPixelBuffer: CVPixelBuffer, options: [VNImageOption: Any]) {}

  public func perform(_: [VNRequest]) throws {}
}
