@_exported import CoreMedia
@_exported import QuartzCore

public enum AVAuthorizationStatus {
  case notDetermined, restricted, denied, authorized
}

public struct AVMediaType {
  public static let video = AVMediaType()
}

public class AVCaptureDevice {
  public struct DeviceType {
    public static let builtInWideAngleCamera = DeviceType()
  }

  public enum Position {
    case unspecified, back, front
  }

  public class func authorizationStatus(for: AVMediaType) -> AVAuthorizationStatus { .denied }
  public class func requestAccess(for: AVMediaType) async -> Bool { false }
  public class func `default`(_: DeviceType, for: AVMediaType?, position: Position) -> AVCaptureDevice? { nil }
  public class func `default`(for: AVMediaType) -> AVCaptureDevice? { nil }
}

public class AVCaptureInput {}

public class AVCaptureDeviceInput: AVCaptureInput {
  public init(device: AVCaptureDevice) throws {}
}

public class AVCaptureOutput {
  public func connection(with: AVMediaType) -> AVCaptureConnection? { nil }
}

public class AVCaptureVideoDataOutput: AVCaptureOutput {
  public var alwaysDiscardsLateVideoFrames = true
  public var videoSettings: [String: Any]!

  public override init() {}

  public func setSampleBufferDelegate(
    _: (any AVCaptureVideoDataOutputSampleBufferDelegate)?, queue: DispatchQueue?
  ) {}
}

public protocol AVCaptureVideoDataOutputSampleBufferDelegate: AnyObject {
  func captureOutput(
    _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection)
}

public enum AVCaptureVideoOrientation {
  case portrait
}

public class AVCaptureConnection {
  public var isVideoOrientationSupported: Bool { false }
  public var videoOrientation = AVCaptureVideoOrientation.portrait
  public var videoRotationAngle: CGFloat = 0

  public func isVideoRotationAngleSupported(_: CGFloat) -> Bool { false }
}

public class AVCaptureSession {
  public struct Preset {
    public static let hd1280x720 = Preset()
  }

  public var sessionPreset = Preset.hd1280x720

  public init() {}

  public func addInput(_: AVCaptureInput) {}
  public func addOutput(_: AVCaptureOutput) {}
  public func beginConfiguration() {}
  public func canAddInput(_: AVCaptureInput) -> Bool { false }
  public func canAddOutput(_: AVCaptureOutput) -> Bool { false }
  public func canSetSessionPreset(_: Preset) -> Bool { false }
  public func commitConfiguration() {}
  public func startRunning() {}
  public func stopRunning() {}
}

public let AVCaptureSessionErrorKey = ""

extension Notification.Name {
  public static let AVCaptureSessionRuntimeError = Notification.Name("")
}

public enum AVQueuedSampleBufferRenderingStatus {
  case unknown, rendering, failed
}

public struct AVLayerVideoGravity {
  public static let resize = AVLayerVideoGravity()
}

public class AVSampleBufferDisplayLayer: CALayer {
  public var status: AVQueuedSampleBufferRenderingStatus { .unknown }
  public var videoGravity = AVLayerVideoGravity.resize

  public func enqueue(_: CMSampleBuffer) {}
  public func flush() {}
}

public func AVMakeRect(aspectRatio: CGSize, insideRect: CGRect) -> CGRect { .zero }
