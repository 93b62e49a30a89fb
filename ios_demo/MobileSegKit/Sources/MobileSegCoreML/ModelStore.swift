#if canImport(CoreML)
  import CoreML
  import Foundation
  import MobileSeg

  /// Packages as Core ML runs them: compiled on the device when first opened, and kept by their digest.
  public struct ModelStore: Sendable {
    private let bundled: URL
    private let compiled: URL

    /// - Parameters:
    ///   - bundled: the folder of packages, as `mobile-seg bundle` fills it.
    ///   - caches: a folder that the system may empty.
    public init(bundled: URL, caches: URL) {
      self.bundled = bundled
      compiled = caches.appendingPathComponent("models", isDirectory: true)
    }

    /// The compiled model.
    ///
    /// - Throws: `DemoError` if it is no package, is not there, or cannot be compiled or kept.
    func compile(_ entry: Catalogue.Entry) async throws -> URL {
      try ModelFormat.demand(.coreML, of: entry.file)
      let kept = compiled.appendingPathComponent("\(entry.sha256).mlmodelc", isDirectory: true)
      if FileManager.default.fileExists(atPath: kept.path) { return kept }
      let package = bundled.appendingPathComponent(entry.file, isDirectory: true)
      guard FileManager.default.fileExists(atPath: package.path) else {
        throw DemoError("\(entry.file) is not in the app. Run `mobile-seg bundle` again, then build the app again.")
      }
      do {
        let made = try await MLModel.compileModel(at: package)
        try FileManager.default.createDirectory(at: compiled, withIntermediateDirectories: true)
        try FileManager.default.moveItem(at: made, to: kept)
      } catch {
        throw DemoError(
          "\(entry.file) cannot be compiled: \(error.localizedDescription) It may be damaged: bundle it again.")
      }
      return kept
    }
  }
#endif
