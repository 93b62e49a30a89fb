@_exported import SwiftUI

public struct PHPickerFilter {
  public static let images = PHPickerFilter()
}

public struct PhotosPickerItem: Equatable {
  public func loadTransferable<T>(type: T.Type) async throws -> T? { nil }
}

public struct PhotosPicker<Label: View>: PrimitiveView {
  public init(
    selection: Binding<PhotosPickerItem?>, matching: PHPickerFilter? = nil, @ViewBuilder label: () -> Label
  ) {}
}
