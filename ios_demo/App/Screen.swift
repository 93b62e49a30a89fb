import AVFoundation
import CoreImage
import SwiftUI
import UIKit

/// The picture: the frame that the mask was computed on, and the mask over it. The camera's buffers go to the screen as
/// they are, without a copy.
@MainActor
final class Screen: UIView {
  private let camera = AVSampleBufferDisplayLayer()
  private let picture = CALayer()
  private let overlay = CALayer()
  private let context = CIContext()
  private var size = CGSize.zero
  private var shown: CIImage?

  /// How strong the colours are, 0 to 1.
  var opacity: Double = 0.6 {
    didSet { withoutAnimation { overlay.opacity = Float(opacity) } }
  }

  override init(frame: CGRect) {
    super.init(frame: frame)
    backgroundColor = .black
    isAccessibilityElement = true
    accessibilityLabel = "Picture with its segmentation"
    overlay.opacity = Float(opacity)
    for one in [camera, picture, overlay] { layer.addSublayer(one) }
    camera.videoGravity = .resize
    for one in [picture, overlay] { one.contentsGravity = .resize }
  }

  @available(*, unavailable)
  required init?(coder: NSCoder) {
    fatalError("made in code only")
  }

  func show(_ frame: Frame, mask: CGImage?) {
    withoutAnimation {
      size = frame.image.extent.size
      place()
      overlay.contents = mask
      camera.isHidden = frame.sample == nil
      picture.isHidden = frame.sample != nil
      if let sample = frame.sample {
        enqueue(sample)
      } else if shown !== frame.image {
        shown = frame.image
        picture.contents = context.createCGImage(frame.image, from: frame.image.extent)
      }
    }
  }

  override func layoutSubviews() {
    super.layoutSubviews()
    withoutAnimation { place() }
  }

  private func place() {
    guard size.width > 0, size.height > 0 else { return }
    let fitted = AVMakeRect(aspectRatio: size, insideRect: bounds)
    for one in [camera, picture, overlay] { one.frame = fitted }
  }

  private func enqueue(_ sample: CMSampleBuffer) {
    // Now, not at the time at which it was taken: that has passed while the model ran.
    let attachments = CMSampleBufferGetSampleAttachmentsArray(sample, createIfNecessary: true)
    if let first = (attachments as? [NSMutableDictionary])?.first {
      first[kCMSampleAttachmentKey_DisplayImmediately as String] = true
    }
    if camera.status == .failed { camera.flush() }
    camera.enqueue(sample)
  }

  private func withoutAnimation(_ change: () -> Void) {
    CATransaction.begin()
    CATransaction.setDisableActions(true)
    change()
    CATransaction.commit()
  }
}

struct ScreenView: UIViewRepresentable {
  let screen: Screen
  let opacity: Double

  func makeUIView(context: Context) -> Screen { screen }

  func updateUIView(_ view: Screen, context: Context) {
    view.opacity = opacity
  }
}
