@_exported import Combine
@_exported import UIKit

@MainActor @preconcurrency
public protocol View {
  associatedtype Body: View
  @ViewBuilder var body: Body { get }
}

@resultBuilder
public struct ViewBuilder {
  public static func buildBlock<each Content: View>(_: repeat each Content) -> SomeView { SomeView() }
  public static func buildEither<Content: View>(first: Content) -> SomeView { SomeView() }
  public static func buildEither<Content: View>(second: Content) -> SomeView { SomeView() }
  public static func buildExpression<Content: View>(_ content: Content) -> Content { content }
  public static func buildIf<Content: View>(_ content: Content?) -> Content? { content }
}

/// A view whose body is the framework's.
public protocol PrimitiveView: View where Body == Never {}

extension PrimitiveView {
  public var body: Never { return fatalError() }
}

extension Never: View {
  public var body: Never { return fatalError() }
}

extension Optional: View where Wrapped: View {
  public var body: Never { return fatalError() }
}

public struct SomeView: PrimitiveView {}

// Views

public struct Button: PrimitiveView {
  public init(_: String, systemImage: String = "", action: @escaping @MainActor () -> Void) {}
}

public struct Color: PrimitiveView {
  public static var black: Color { fatalError() }
  public static var orange: Color { fatalError() }
  public static var secondary: Color { fatalError() }
  public static var yellow: Color { fatalError() }

  public init(red: Double, green: Double, blue: Double) {}

  public func opacity(_: Double) -> Color { self }
}

public struct ForEach<Items: RandomAccessCollection>: PrimitiveView {
  public init<ID: Hashable, Content: View>(
    _: Items, id: KeyPath<Items.Element, ID>, @ViewBuilder content: (Items.Element) -> Content
  ) {}
  public init<Content: View>(_: Items, @ViewBuilder content: (Items.Element) -> Content)
  where Items.Element: Identifiable {}
}

public struct GridItem {
  public enum Size {
    case adaptive(minimum: CGFloat)
  }

  public init(_: Size, alignment: Alignment? = nil) {}
}

public struct HStack: PrimitiveView {
  public init<Content: View>(alignment: VerticalAlignment = .center, @ViewBuilder content: () -> Content) {}
}

public struct Label: PrimitiveView {
  public init(_: String, systemImage: String) {}
}

public struct LabeledContent: PrimitiveView {
  public init<Content: View>(_: String, @ViewBuilder content: () -> Content) {}
}

public struct LazyVGrid: PrimitiveView {
  public init<Content: View>(
    columns: [GridItem], alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil,
    @ViewBuilder content: () -> Content
  ) {}
}

public struct Picker: PrimitiveView {
  public init<Value: Hashable, Content: View>(
    _: String, selection: Binding<Value>, @ViewBuilder content: () -> Content
  ) {}
}

public struct ProgressView: PrimitiveView {
  public init() {}
}

public struct RoundedRectangle {
  public init(cornerRadius: CGFloat) {}

  public func fill(_: Color) -> SomeView { SomeView() }
}

public struct ScrollView: PrimitiveView {
  public init<Content: View>(@ViewBuilder content: () -> Content) {}
}

public struct Slider: PrimitiveView {
  public init(value: Binding<Double>, in: ClosedRange<Double>) {}
}

public struct Spacer: PrimitiveView {
  public init() {}
}

public struct Text: PrimitiveView {
  public init(_: String) {}
}

public struct VStack: PrimitiveView {
  public init<Content: View>(
    alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil, @ViewBuilder content: () -> Content
  ) {}
}

// What modifies them

public struct AccessibilityChildBehavior {
  public static let combine = AccessibilityChildBehavior()
}

public struct AccessibilityTraits {
  public static let isStaticText = AccessibilityTraits()
}

public struct Alignment {
  public static let bottom = Alignment()
  public static let center = Alignment()
  public static let leading = Alignment()
  public static let topLeading = Alignment()
}

public struct ButtonStyle {
  public static let bordered = ButtonStyle()
}

public enum ColorScheme {
  case light, dark
}

public struct Font {
  public static let footnote = Font()
  public static let headline = Font()

  public func monospacedDigit() -> Font { self }
}

public enum HorizontalAlignment {
  case leading, center, trailing
}

public struct PickerStyle {
  public static let menu = PickerStyle()
}

public enum VerticalAlignment {
  case top, center, bottom
}

extension View {
  public func accessibilityAddTraits(_: AccessibilityTraits) -> some View { SomeView() }
  public func accessibilityElement(children: AccessibilityChildBehavior) -> some View { SomeView() }
  public func accessibilityHint(_: String) -> some View { SomeView() }
  public func background(_: Color) -> some View { SomeView() }
  public func buttonStyle(_: ButtonStyle) -> some View { SomeView() }
  public func disabled(_: Bool) -> some View { SomeView() }
  public func environmentObject(_: some ObservableObject) -> some View { SomeView() }
  public func font(_: Font?) -> some View { SomeView() }
  public func foregroundStyle(_: Color) -> some View { SomeView() }
  public func frame(width: CGFloat?, height: CGFloat?) -> some View { SomeView() }
  public func frame(
    maxWidth: CGFloat? = nil, maxHeight: CGFloat? = nil, alignment: Alignment = .center
  ) -> some View { SomeView() }
  public func labelsHidden() -> some View { SomeView() }
  public func monospacedDigit() -> some View { SomeView() }
  public func onChange<Value: Equatable>(of: Value, perform: @escaping (Value) -> Void) -> some View { SomeView() }
  public func opacity(_: Double) -> some View { SomeView() }
  public func overlay(alignment: Alignment = .center, @ViewBuilder content: () -> some View) -> some View {
    SomeView()
  }
  public func padding(_: CGFloat? = nil) -> some View { SomeView() }
  public func pickerStyle(_: PickerStyle) -> some View { SomeView() }
  public func preferredColorScheme(_: ColorScheme?) -> some View { SomeView() }
  public func tag(_: some Hashable) -> some View { SomeView() }
  public func task(_: @escaping @MainActor @Sendable () async -> Void) -> some View { SomeView() }
}

// State

@propertyWrapper
public struct Binding<Value> {
  public var wrappedValue: Value {
    get { fatalError() }
    nonmutating set {}
  }

  public init(get: @escaping () -> Value, set: @escaping (Value) -> Void) {}
}

@MainActor @propertyWrapper
public struct EnvironmentObject<Value: ObservableObject> {
  public var wrappedValue: Value { fatalError() }

  public init() {}
}

@propertyWrapper
public struct State<Value> {
  public var projectedValue: Binding<Value> { fatalError() }
  public var wrappedValue: Value {
    get { fatalError() }
    nonmutating set {}
  }

  public init(wrappedValue: Value) {}
}

extension State where Value: ExpressibleByNilLiteral {
  public init() {}
}

@MainActor @propertyWrapper
public struct StateObject<Value: ObservableObject> {
  public var wrappedValue: Value { fatalError() }

  public init(wrappedValue: @autoclosure @escaping () -> Value) {}
}

// The app

@MainActor @preconcurrency
public protocol App {
  associatedtype Body: Scene
  var body: Body { get }
  init()
}

extension App {
  public static func main() {}
}

public protocol Scene {}

public struct WindowGroup: Scene {
  public init<Content: View>(@ViewBuilder content: () -> Content) {}
}

public struct UIViewRepresentableContext<Representable> {}

@MainActor @preconcurrency
public protocol UIViewRepresentable: PrimitiveView {
  associatedtype UIViewType: UIView
  typealias Context = UIViewRepresentableContext<Self>

  func makeUIView(context: Context) -> UIViewType
  func updateUIView(_ view: UIViewType, context: Context)
}
