@_exported import CoreGraphics

public struct CALayerContentsGravity {
  public static let resize = CALayerContentsGravity()
}

open class CALayer {
  open var contents: Any?
  open var contentsGravity = CALayerContentsGravity.resize
  open var frame = CGRect.zero
  open var isHidden = false
  open var opacity: Float = 1

  public init() {}

  open func addSublayer(_: CALayer) {}
}

public class CATransaction {
  public class func begin() {}
  public class func commit() {}
  public class func setDisableActions(_: Bool) {}
}
