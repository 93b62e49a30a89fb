import Foundation

extension Manifest {
  /// Read and check.
  ///
  /// - Parameters:
  ///   - json: the manifest's bytes.
  ///   - file: the model's name, for messages.
  /// - Throws: `DemoError` if it cannot be followed, or is of a newer format.
  public init(json: Data, file: String) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      // The version first: a newer manifest may look otherwise in everything else.
      let version = try decoder.decode(Version.self, from: json).formatVersion
      if version > Self.formatVersion {
        throw DemoError(
          "The manifest in \(file) has format \(version), this app reads \(Self.formatVersion). "
            + "Update the app: get the newer ios_demo and build it again.")
      }
      if version != Self.formatVersion { throw Problem("format \(version)") }
      self = try decoder.decode(Written.self, from: json).checked()
    } catch let problem as Problem {
      throw DemoError("The manifest in \(file) cannot be used: \(problem.text). Export the model again.")
    } catch let error as DecodingError {
      throw DemoError("The manifest in \(file) cannot be used: \(error.inWords). Export the model again.")
    }
  }

  private struct Version: Decodable {
    let formatVersion: Int
  }
}

/// What is wrong, to be put into a sentence.
private struct Problem: Error {
  let text: String

  init(_ text: String) {
    self.text = text
  }
}

/// A manifest as it is written, before anything is believed.
private struct Written: Decodable {
  struct Input: Decodable {
    let height, width: Int
    let dtype: String
    let mean, std: Float
    let normalizedOutside: Bool?
    let resize, layout: String?
  }

  struct Output: Decodable {
    let kind, dtype: String
    let height, width: Int
    let layout: String?
  }

  let model, precision: String
  let input: Input
  let output: Output
  let classes: [String]
  let palette: [[Int]]
  let task: String?

  func checked() throws -> Manifest {
    try demand(task ?? "semantic", among: ["semantic"], "task")
    guard !classes.isEmpty else { throw Problem("it names no classes") }
    guard classes.count < 255 else { throw Problem("it names \(classes.count) classes, 254 can be shown") }
    guard palette.count == classes.count else {
      throw Problem("\(classes.count) classes but \(palette.count) colours")
    }
    return Manifest(
      model: model, precision: precision, input: try checkedInput(), output: try checkedOutput(), classes: classes,
      palette: try palette.map(colour))
  }

  private func checkedInput() throws -> InputSpec {
    guard input.height > 0, input.width > 0 else { throw Problem("its input has no size") }
    try demand(input.resize ?? "stretch-bilinear", among: ["stretch-bilinear"], "resize")
    try demand(input.layout ?? "nhwc", among: ["nhwc"], "input layout")
    let kind: InputSpec.Kind = try choice(input.dtype, "input dtype")
    let normalized = input.normalizedOutside ?? false
    if kind == .int8, normalized {
      throw Problem("int8 input of normalized values, whose scale it does not state; export with --io uint8")
    }
    if normalized, !(input.std > 0) { throw Problem("it divides by std \(input.std)") }
    return InputSpec(
      height: input.height, width: input.width, dtype: kind, mean: input.mean, std: input.std,
      normalizedOutside: normalized)
  }

  private func checkedOutput() throws -> OutputSpec {
    guard output.height > 0, output.width > 0 else { throw Problem("its output has no size") }
    try demand(output.layout ?? "nhwc", among: ["nhwc"], "output layout")
    return OutputSpec(
      kind: try choice(output.kind, "output kind"), height: output.height, width: output.width,
      dtype: try choice(output.dtype, "output dtype"))
  }

  private func colour(_ row: [Int]) throws -> Colour {
    let bytes = row.compactMap(UInt8.init(exactly:))
    guard row.count == 3, bytes.count == 3 else { throw Problem("the colour \(row) is not three bytes") }
    return Colour(bytes[0], bytes[1], bytes[2])
  }
}

private func demand(_ value: String, among accepted: [String], _ what: String) throws {
  guard accepted.contains(value) else {
    throw Problem("\(what) \(value), expected \(accepted.joined(separator: ", "))")
  }
}

private func choice<Kind: CaseIterable & RawRepresentable>(_ value: String, _ what: String) throws -> Kind
where Kind.RawValue == String {
  try demand(value, among: Kind.allCases.map(\.rawValue), what)
  return Kind(rawValue: value)!
}

extension DecodingError {
  /// What is missing or of the wrong kind, and where.
  var inWords: String {
    switch self {
    case .keyNotFound(let key, let context): "\(path(context, key)) is missing"
    case .typeMismatch(_, let context): "\(path(context)) is not what it should be"
    case .valueNotFound(_, let context): "\(path(context)) is null"
    default: "it is not JSON"
    }
  }

  private func path(_ context: Context, _ last: CodingKey? = nil) -> String {
    let keys = (context.codingPath + [last].compactMap { $0 }).map { $0.intValue.map(String.init) ?? $0.stringValue }
    return keys.isEmpty ? "its content" : keys.joined(separator: ".")
  }
}
