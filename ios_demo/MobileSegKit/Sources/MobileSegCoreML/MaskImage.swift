#if canImport(CoreML)
  import CoreGraphics
  import Foundation
  import MobileSeg

  extension Mask {
    /// A picture of the mask as it is now; nil if there is no memory for it.
    public func image() -> CGImage? {
      guard let bytes = UnsafeRawBufferPointer(pixels).baseAddress,
        let provider = CGDataProvider(data: Data(bytes: bytes, count: pixels.count * 4) as CFData)
      else { return nil }
      return CGImage(
        width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: width * 4,
        space: CGColorSpaceCreateDeviceRGB(),
        bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.premultipliedLast.rawValue), provider: provider,
        decode: nil, shouldInterpolate: true, intent: .defaultIntent)
    }
  }
#endif
