@_exported import Foundation

public typealias CFArray = [Any]
public typealias CFData = Data
public typealias CFDictionary = [CFString: Any]
public typealias CFString = String

public struct CGAffineTransform {
  public init(translationX: CGFloat, y: CGFloat) {}
  public init(scaleX: CGFloat, y: CGFloat) {}
}

public class CGColorSpace {}

public func CGColorSpaceCreateDeviceRGB() -> CGColorSpace { CGColorSpace() }

public class CGDataProvider {
  public init?(data: CFData) {}
}

public enum CGImageAlphaInfo: UInt32 {
  case premultipliedLast
}

public struct CGBitmapInfo {
  public init(rawValue: UInt32) {}
}

public enum CGColorRenderingIntent {
  case defaultIntent
}

public class CGImage {
  public init?(
    width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int, space: CGColorSpace,
    bitmapInfo: CGBitmapInfo, provider: CGDataProvider, decode: UnsafePointer<CGFloat>?, shouldInterpolate: Bool,
    intent: CGColorRenderingIntent
  ) {}
}
