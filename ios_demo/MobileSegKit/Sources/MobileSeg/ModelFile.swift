import Foundation

/// What kind of file a model is, and which of them run where.
public enum ModelFormat: String, Sendable {
  case coreML = "mlpackage"
  case tflite

  /// - Throws: `DemoError` for a file that is neither.
  public init(file: String) throws {
    guard let format = ModelFormat(rawValue: (file as NSString).pathExtension) else {
      throw DemoError("\(file) is not a model of mobile-seg. Export one with `mobile-seg export`.")
    }
    self = format
  }

  /// Check that a runtime takes files like this one.
  ///
  /// - Throws: `DemoError` with what to export instead.
  public static func demand(_ wanted: ModelFormat, of file: String) throws {
    if try ModelFormat(file: file) == wanted { return }
    switch wanted {
    case .coreML:
      throw DemoError("\(file) is a TFLite model; this app runs Core ML packages. Export it with --to coreml.")
    case .tflite:
      throw DemoError("\(file) is a Core ML package, which only Apple's systems run. Export it with --to tflite.")
    }
  }
}

extension Manifest {
  /// The manifest inside a `.tflite` file.
  ///
  /// - Throws: `DemoError` if it is no TFLite file, has no manifest, or one that cannot be followed.
  public init(tflite bytes: Data, file: String) throws {
    guard bytes.dropFirst(4).prefix(4).elementsEqual("TFL3".utf8) else {
      throw DemoError("\(file) is not a TFLite model. Take a .tflite file that `mobile-seg export` wrote.")
    }
    guard let json = try Zip(bytes)?.member(Manifest.member) else { throw Manifest.missing(in: file) }
    try self.init(json: json, file: file)
  }

  /// A model that tells nothing of itself.
  public static func missing(in file: String) -> DemoError {
    DemoError(
      "\(file) carries no manifest, so its classes, colours and input are not known: it was not written by "
        + "mobile-seg, or it is cut short. Export the model with `mobile-seg export` and take that file.")
  }
}
