import AVFoundation
import CoreImage
import MobileSeg

/// The camera at the back. It owns its session; frames come on a queue of its own, and only the latest is kept.
final class Camera: NSObject, FrameSource {
  let isLive = true

  private let session = AVCaptureSession()
  private let queue = DispatchQueue(label: "mobile-seg.camera", qos: .userInitiated)
  private let frames = LatestFrame<Frame>()
  private var observer: (any NSObjectProtocol)?

  /// - Throws: `DemoError` if it was refused, or there is none.
  static func open() async throws -> Camera {
    try await access().demand()
    let camera = Camera()
    try camera.connect()
    camera.queue.async { camera.session.startRunning() }
    return camera
  }

  func next() async throws -> Frame {
    try await frames.next()
  }

  func close() {
    if let observer { NotificationCenter.default.removeObserver(observer) }
    frames.close(DemoError("The camera was stopped."))
    queue.async { self.session.stopRunning() }
  }

  /// What the user and the system allow; asks if nobody has yet.
  private static func access() async -> CameraAccess {
    switch AVCaptureDevice.authorizationStatus(for: .video) {
    case .authorized: return .granted
    case .notDetermined: return await AVCaptureDevice.requestAccess(for: .video) ? .granted : .denied
    case .restricted: return .restricted
    default: return .denied
    }
  }

  private func connect() throws {
    let back = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back)
    guard let device = back ?? AVCaptureDevice.default(for: .video) else {
      throw CameraAccess.absent.problem!
    }
    let output = AVCaptureVideoDataOutput()
    output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
    output.alwaysDiscardsLateVideoFrames = true
    output.setSampleBufferDelegate(self, queue: queue)
    guard let input = try? AVCaptureDeviceInput(device: device) else { throw CameraAccess.inUse.problem! }
    session.beginConfiguration()
    defer { session.commitConfiguration() }
    guard session.canAddInput(input), session.canAddOutput(output) else { throw CameraAccess.inUse.problem! }
    session.addInput(input)
    session.addOutput(output)
    if session.canSetSessionPreset(.hd1280x720) { session.sessionPreset = .hd1280x720 }
    turnUpright(output.connection(with: .video))
    observer = NotificationCenter.default.addObserver(
      forName: .AVCaptureSessionRuntimeError, object: session, queue: nil
    ) { [frames] notification in
      let error = notification.userInfo?[AVCaptureSessionErrorKey] as? Error
      let reason = error?.localizedDescription ?? "no reason given"
      frames.close(DemoError("The camera stopped: \(reason) Open it again."))
    }
  }

  /// The sensor lies across the phone, which the app is held upright in.
  private func turnUpright(_ connection: AVCaptureConnection?) {
    if #available(iOS 17, *) {
      let angle: CGFloat = 90
      if connection?.isVideoRotationAngleSupported(angle) == true { connection?.videoRotationAngle = angle }
    } else if connection?.isVideoOrientationSupported == true {
      connection?.videoOrientation = .portrait
    }
  }
}

extension Camera: AVCaptureVideoDataOutputSampleBufferDelegate {
  func captureOutput(
    _ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection
  ) {
    guard let pixels = CMSampleBufferGetImageBuffer(sample) else { return }
    frames.put(Frame(image: CIImage(cvPixelBuffer: pixels), sample: sample))
  }
}
