import Foundation
import Testing

@testable import MobileSeg

struct CatalogueTests {
  func row(_ file: String, precision: String = "int8", format: Int = 1) -> [String: Any] {
    var manifest = written
    manifest["precision"] = precision
    manifest["format_version"] = format
    return ["file": file, "bytes": 12, "sha256": "ab", "manifest": manifest]
  }

  func index(_ rows: [[String: Any]], format: Int = 1) throws -> Data {
    try JSONSerialization.data(withJSONObject: ["format_version": format, "models": rows])
  }

  @Test func theFirstIsAnIntegerOne() throws {
    let found = try Catalogue(json: index([row("a", precision: "float16"), row("b"), row("c")]))
    #expect(found.entries.map(\.file) == ["a", "b", "c"])
    #expect(found.first?.file == "b")
    #expect(found.entries[1].label == "int8 · tiny · logits")
  }

  @Test func oneModelThatCannotBeUsedSparesTheOthers() throws {
    let found = try Catalogue(json: index([row("newer.mlpackage", format: 2), row("b", precision: "float32")]))
    #expect(found.first?.file == "b")
    #expect(found.entries[0].label == "newer.mlpackage (cannot be used)")
    #expect(message { _ = try found.entries[0].manifest.get() }.contains("format 2, this app reads 1"))
  }

  @Test func whatIsNoIndexIsSaid() throws {
    #expect(message { _ = try Catalogue(json: Data("[".utf8)) }.contains("not JSON"))
    #expect(message { _ = try Catalogue(json: index([], format: 2)) }.contains("format 2, this app reads 1"))
    #expect(message { _ = try Catalogue(json: index([["file": 3]])) }.contains("a row without a file"))
    try withTemporaryFolder { folder in
      #expect(message { _ = try Catalogue(folder: folder) }.contains("mobile-seg bundle RUN --app ios"))
      try index([row("a")]).write(to: folder.appendingPathComponent(Catalogue.index))
      #expect(try Catalogue(folder: folder).entries.count == 1)
    }
  }

  static let bundled = ProcessInfo.processInfo.environment["MOBILE_SEG_BUNDLED"].map(URL.init(fileURLWithPath:))

  @Test(.enabled(if: bundled != nil, "MOBILE_SEG_BUNDLED names no folder; `make test-ios` makes one"))
  func whatPythonBundledIsRead() throws {
    let found = try Catalogue(folder: try #require(Self.bundled))
    #expect(found.first != nil)
    for entry in found.entries {
      let manifest = try entry.manifest.get()
      let line = "\ncatalogue: \(entry.file) \(manifest.inputTensor) \(manifest.outputTensor)\n"
      FileHandle.standardOutput.write(Data(line.utf8))  // for `tests/e2e/test_ios.py`
    }
  }
}
