#if canImport(CoreML)
  import CoreImage
  import CoreVideo
  import MobileSeg

  /// Stretches images to a model's input size on the GPU, bilinearly, into one pixel buffer that it owns.
  final class Scaler {
    private let context = CIContext(options: [.workingColorSpace: NSNull(), .cacheIntermediates: false])
    private let target: CVPixelBuffer
    private let destination: CIRenderDestination

    /// - Throws: `DemoError` if there is no memory for it.
    init(width: Int, height: Int) throws {
      // Shared with the GPU and the Neural Engine.
      let attributes: [CFString: Any] = [
        kCVPixelBufferIOSurfacePropertiesKey: [CFString: Any](), kCVPixelBufferMetalCompatibilityKey: true,
      ]
      var made: CVPixelBuffer?
      let status = CVPixelBufferCreate(
        nil, width, height, kCVPixelFormatType_32BGRA, attributes as CFDictionary, &made)
      guard let made else {
        throw DemoError("There is no memory for an image of \(width) x \(height) (\(status)). Close other apps.")
      }
      target = made
      destination = CIRenderDestination(pixelBuffer: made)
      destination.colorSpace = nil
    }

    /// The image at the target's size, until the next one.
    ///
    /// - Throws: `DemoError` if the GPU fails.
    func scale(_ image: CIImage) throws -> CVPixelBuffer {
      let size = CGSize(width: CVPixelBufferGetWidth(target), height: CVPixelBufferGetHeight(target))
      let extent = image.extent
      let stretched =
        image
        .transformed(by: CGAffineTransform(translationX: -extent.minX, y: -extent.minY))
        .clampedToExtent()  // pixels beyond the border repeat it, as they did in training
        .samplingLinear()
        .transformed(by: CGAffineTransform(scaleX: size.width / extent.width, y: size.height / extent.height))
      do {
        let task = try context.startTask(
          toRender: stretched, from: CGRect(origin: .zero, size: size), to: destination, at: .zero)
        try task.waitUntilCompleted()
      } catch {
        throw DemoError("The frame cannot be resized: \(error.localizedDescription) Try again.")
      }
      return target
    }
  }
#endif
