/// Whether the camera may be used, as the platform says it.
public enum CameraAccess: String, CaseIterable, Sendable {
  case granted, denied, restricted, absent, inUse

  /// What to tell the user; nil if the camera may be used.
  public var problem: DemoError? {
    switch self {
    case .granted: nil
    case .denied:
      DemoError("The camera was refused. Allow it in Settings, Privacy & Security, Camera, or choose a picture.")
    case .restricted:
      DemoError("The camera is switched off on this device (Screen Time, or its management). Choose a picture.")
    case .absent:
      DemoError("No camera was found, as in the simulator. Choose a picture.")
    case .inUse:
      DemoError("The camera is used by another app. Close that one and try again, or choose a picture.")
    }
  }

  /// - Throws: `DemoError` if it may not be used.
  public func demand() throws {
    if let problem { throw problem }
  }
}
