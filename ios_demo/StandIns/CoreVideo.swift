@_exported import CoreGraphics

public class CVBuffer {}

public typealias CVImageBuffer = CVBuffer
public typealias CVPixelBuffer = CVBuffer
public typealias CVReturn = Int32

public let kCVPixelBufferIOSurfacePropertiesKey: CFString = ""
public let kCVPixelBufferMetalCompatibilityKey: CFString = ""
public let kCVPixelBufferPixelFormatTypeKey: CFString = ""
public let kCVPixelFormatType_32BGRA: UInt32 = 0

public func CVPixelBufferCreate(
  _: AnyObject?, _: Int, _: Int, _: UInt32, _: CFDictionary?, _: UnsafeMutablePointer<CVPixelBuffer?>
) -> CVReturn { 0 }

public func CVPixelBufferGetWidth(_: CVPixelBuffer) -> Int { 0 }

public func CVPixelBufferGetHeight(_: CVPixelBuffer) -> Int { 0 }
