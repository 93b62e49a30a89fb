import CoreImage
import CoreMedia
import Foundation
import MobileSeg

/// One picture to segment and to show.
struct Frame {
  let image: CIImage
  /// As the camera gave it; nil for pictures.
  let sample: CMSampleBuffer?
}

/// What is looked at: the camera or a picture.
protocol FrameSource: AnyObject {
  /// Whether frames keep coming.
  var isLive: Bool { get }

  /// - Throws: `DemoError` if there are no more.
  func next() async throws -> Frame

  func close()
}

/// A picture, the same with every frame.
final class Picture: FrameSource {
  let isLive = false
  private let frame: Frame

  /// - Parameter data: of a file that the system reads as a picture.
  /// - Throws: `DemoError` if it does not.
  init(data: Data?) throws {
    guard let data, let image = CIImage(data: data, options: [.applyOrientationProperty: true]),
      !image.extent.isEmpty
    else {
      throw DemoError("This cannot be read as a picture. Choose a JPEG, PNG or HEIC file.")
    }
    frame = Frame(image: image, sample: nil)
  }

  func next() async throws -> Frame { frame }

  func close() {}
}
