import Foundation

/// The models that `mobile-seg bundle --app ios` put into the app, as its `index.json` lists them.
public struct Catalogue: Sendable {
  public static let formatVersion = 1
  public static let index = "index.json"

  /// One model. Its manifest may be one that this app cannot follow: that is said when it is chosen.
  public struct Entry: Identifiable, Sendable {
    public let file: String
    public let bytes: Int
    /// Of the file, or of a package's files.
    public let sha256: String
    public let manifest: Result<Manifest, DemoError>

    public var id: String { file }

    /// What the model picker shows.
    public var label: String {
      guard case .success(let manifest) = manifest else { return "\(file) (cannot be used)" }
      return "\(manifest.precision) · \(manifest.model) · \(manifest.output.kind.rawValue)"
    }
  }

  public let entries: [Entry]

  /// The one to begin with: the first of integers, else the first that can be used.
  public var first: Entry? {
    let usable = entries.filter { (try? $0.manifest.get()) != nil }
    return usable.first { (try? $0.manifest.get())?.precision == "int8" } ?? usable.first
  }

  /// - Parameter folder: of `index.json` and the models.
  /// - Throws: `DemoError` if there is no index, or one that cannot be followed.
  public init(folder: URL) throws {
    let place = folder.appendingPathComponent(Self.index)
    guard let json = try? Data(contentsOf: place) else {
      throw DemoError("The app holds no models. Run `mobile-seg bundle RUN --app ios`, then build the app again.")
    }
    try self.init(json: json)
  }

  init(json: Data) throws {
    let again = "Write it again with `mobile-seg bundle RUN --app ios`."
    guard let index = try? JSONSerialization.jsonObject(with: json) as? [String: Any] else {
      throw DemoError("\(Self.index) is not JSON. \(again)")
    }
    let version = index["format_version"] as? Int
    guard version == Self.formatVersion, let rows = index["models"] as? [[String: Any]] else {
      let found = version.map(String.init) ?? "none"
      throw DemoError("\(Self.index) has format \(found), this app reads \(Self.formatVersion). \(again)")
    }
    entries = try rows.map { row in
      guard let entry = Entry(row) else { throw DemoError("\(Self.index) has a row without a file. \(again)") }
      return entry
    }
  }
}

extension Catalogue.Entry {
  fileprivate init?(_ row: [String: Any]) {
    guard let file = row["file"] as? String, let bytes = row["bytes"] as? Int, let sha256 = row["sha256"] as? String,
      let written = row["manifest"] as? [String: Any],
      let json = try? JSONSerialization.data(withJSONObject: written)
    else { return nil }
    (self.file, self.bytes, self.sha256) = (file, bytes, sha256)
    manifest = Result { try Manifest(json: json, file: file) }.mapError { error in
      error as? DemoError ?? DemoError(describe(error))
    }
  }
}
