@_exported import CoreVideo

public struct CIContextOption: Hashable {
  public static let cacheIntermediates = CIContextOption()
  public static let workingColorSpace = CIContextOption()
}

public class CIContext {
  public init(options: [CIContextOption: Any]? = nil) {}

  @discardableResult
  public func startTask(
    toRender: CIImage, from: CGRect, to: CIRenderDestination, at: CGPoint
  ) throws -> CIRenderTask { fatalError() }

  public func createCGImage(_: CIImage, from: CGRect) -> CGImage? { nil }
}

public class CIRenderDestination {
  public var colorSpace: CGColorSpace?

  public init(pixelBuffer: CVPixelBuffer) {}
}

public class CIRenderInfo {}

public class CIRenderTask {
  @discardableResult
  public func waitUntilCompleted() throws -> CIRenderInfo { fatalError() }
}

public class CIColor {
  public static var black: CIColor { fatalError() }
}

public struct CIImageOption: Hashable {
  public static let applyOrientationProperty = CIImageOption()
}

public class CIImage {
  public init(color: CIColor) {}
  public init(cvPixelBuffer: CVPixelBuffer) {}
  public init?(data: Data, options: [CIImageOption: Any]? = nil) {}

  public var extent: CGRect { fatalError() }

  public func clampedToExtent() -> CIImage { fatalError() }
  public func cropped(to: CGRect) -> CIImage { fatalError() }
  public func samplingLinear() -> CIImage { fatalError() }
  public func transformed(by: CGAffineTransform) -> CIImage { fatalError() }
}
