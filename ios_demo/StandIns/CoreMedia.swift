@_exported import CoreVideo

public class CMSampleBuffer {}

public let kCMSampleAttachmentKey_DisplayImmediately: CFString = ""

public func CMSampleBufferGetImageBuffer(_: CMSampleBuffer) -> CVImageBuffer? { nil }

public func CMSampleBufferGetSampleAttachmentsArray(_: CMSampleBuffer, createIfNecessary: Bool) -> CFArray? { nil }

extension NSMutableDictionary {
  // Settable in Apple's Foundation, not in that of Linux.
  public subscript(_: String) -> Any? {
    get { nil }
    set {}
  }
}
