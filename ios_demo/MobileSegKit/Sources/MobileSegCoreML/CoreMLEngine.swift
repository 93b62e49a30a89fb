#if canImport(CoreML)
  import CoreImage
  import CoreML
  import MobileSeg
  import Vision

  /// A Core ML package, run by Vision on the compute units asked for. No pixel of a frame passes through Swift: Core
  /// Image stretches it, Vision hands it to the model, and the output is read where it lies.
  public final class CoreMLEngine: Engine {
    public let manifest: Manifest

    private let request: VNCoreMLRequest
    private let scaler: Scaler
    private var prepared: CVPixelBuffer?
    /// For outputs that the compute units lay out with gaps.
    private var compact: [UInt8] = []

    /// Open a model and try it out.
    ///
    /// - Throws: `DemoError` if it is not what its manifest says; `UnitsError` if these units cannot run it.
    public static func open(
      _ entry: Catalogue.Entry, from store: ModelStore, units: ComputeUnits
    ) async throws -> CoreMLEngine {
      let compiled = try await store.compile(entry)
      let configuration = MLModelConfiguration()
      configuration.computeUnits = units.ofCoreML
      let model: MLModel
      do {
        model = try await MLModel.load(contentsOf: compiled, configuration: configuration)
      } catch {
        throw UnitsError(of: error)
      }
      let engine = try CoreMLEngine(model, file: entry.file)
      try engine.tryOut()
      return engine
    }

    private init(_ model: MLModel, file: String) throws {
      manifest = try Manifest(model.modelDescription, file: file)
      scaler = try Scaler(width: manifest.input.width, height: manifest.input.height)
      do {
        request = VNCoreMLRequest(model: try VNCoreMLModel(for: model))
      } catch {
        throw DemoError("\(file) is not a model that Vision runs: \(error.localizedDescription) Export it again.")
      }
      request.imageCropAndScaleOption = .scaleFill
    }

    /// What a driver compiles it may still fail to run: found out now, not at the first frame.
    private func tryOut() throws {
      let black = CIImage(color: .black).cropped(to: CGRect(x: 0, y: 0, width: 1, height: 1))
      try prepare(black)
      try run { _ in }
    }

    /// An image of any size.
    public func prepare(_ frame: CIImage) throws {
      guard !frame.extent.isInfinite, !frame.extent.isEmpty else {
        throw DemoError("The frame has no pixels. Choose another picture.")
      }
      prepared = try scaler.scale(frame)
    }

    public func run<Value>(_ use: (Output) throws -> Value) throws -> Value {
      guard let prepared else { throw DemoError("No frame was prepared.") }
      do {
        try VNImageRequestHandler(cvPixelBuffer: prepared, options: [:]).perform([request])
      } catch {
        throw UnitsError(of: error)
      }
      guard let observation = request.results?.first as? VNCoreMLFeatureValueObservation,
        let array = observation.featureValue.multiArrayValue
      else { throw UnitsError("Vision gave no tensor") }
      return try read(array, use)
    }

    private func read<Value>(_ array: MLMultiArray, _ use: (Output) throws -> Value) throws -> Value {
      let type = manifest.output.dtype
      let layout = TensorLayout(shape: array.shape.map(\.intValue), strides: array.strides.map(\.intValue))
      guard array.dataType.name == type.rawValue, layout.shape == manifest.outputTensor.shape else {
        throw UnitsError("the model gave \(array.dataType.name) \(layout.shape)")
      }
      return try array.withUnsafeBytes { bytes in
        if layout.isDense { return try use(Output(type: type, bytes: bytes)) }
        compact = compact.isEmpty ? Array(repeating: 0, count: layout.count * type.bytes) : compact
        return try compact.withUnsafeMutableBytes { target in
          layout.compact(bytes.baseAddress!, itemBytes: type.bytes, into: target)
          return try use(Output(type: type, bytes: UnsafeRawBufferPointer(target)))
        }
      }
    }
  }
#endif
