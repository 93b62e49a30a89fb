#if canImport(CoreML)
  import CoreML
  import Foundation
  import MobileSeg

  extension Manifest {
    /// The manifest inside a package, which must be of the model that it stands in.
    ///
    /// - Throws: `DemoError` if there is none, or one that cannot be followed or does not fit.
    init(_ description: MLModelDescription, file: String) throws {
      let own = description.metadata[.creatorDefinedKey] as? [String: String]
      guard let json = own?[Manifest.member] else { throw Manifest.missing(in: file) }
      try self.init(json: Data(json.utf8), file: file)
      guard description.inputDescriptionsByName.count == 1, description.outputDescriptionsByName.count == 1,
        let image = description.inputDescriptionsByName.values.first?.imageConstraint,
        let array = description.outputDescriptionsByName.values.first?.multiArrayConstraint
      else {
        throw DemoError("\(file) does not take one image and give one tensor. Export it again.")
      }
      let taken = TensorInfo(dtype: "image", shape: [1, image.pixelsHigh, image.pixelsWide, 3])
      try taken.match(inputTensor, role: "input", file: file)
      let given = TensorInfo(dtype: array.dataType.name, shape: array.shape.map(\.intValue))
      try given.match(outputTensor, role: "output", file: file)
    }
  }

  extension MLMultiArrayDataType {
    /// As manifests name it.
    var name: String {
      switch self {
      case .float32: ElementType.float32.rawValue
      case .int32: ElementType.int32.rawValue
      default: "Core ML's type \(rawValue)"
      }
    }
  }

  extension ComputeUnits {
    var ofCoreML: MLComputeUnits {
      switch self {
      case .all: .all
      case .cpuAndGPU: .cpuAndGPU
      case .cpuAndNeuralEngine: .cpuAndNeuralEngine
      case .cpuOnly: .cpuOnly
      }
    }
  }
#endif
