@_exported import QuartzCore

public class UIColor {
  public static var black: UIColor { fatalError() }
}

@MainActor
open class UIView {
  open var accessibilityLabel: String?
  open var backgroundColor: UIColor?
  open var bounds = CGRect.zero
  open var isAccessibilityElement = false
  public var layer: CALayer { fatalError() }

  public init(frame: CGRect) {}
  public required init?(coder: NSCoder) {}
  public convenience init() { self.init(frame: .zero) }

  open func layoutSubviews() {}
}
