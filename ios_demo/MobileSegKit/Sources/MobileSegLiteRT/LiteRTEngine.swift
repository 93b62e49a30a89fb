import CLiteRT
import Foundation
import MobileSeg

/// A `.tflite` model on the CPU, through LiteRT's C library. Its input is written and its output read where they lie.
public final class LiteRTEngine: Engine {
  public let manifest: Manifest

  // In the order of making; each is destroyed before what it was made from.
  private let environment: Handle<LiteRtEnvironment>
  private let model: Handle<LiteRtModel>
  private let compiled: Handle<LiteRtCompiledModel>
  private let input: TensorBuffer
  private let output: TensorBuffer
  private let packer: Packer

  /// - Throws: `DemoError` if it is no such file, has no manifest or another one's; `UnitsError` if LiteRT refuses it.
  public init(file: URL) throws {
    let name = file.lastPathComponent
    try ModelFormat.demand(.tflite, of: name)
    guard let bytes = try? Data(contentsOf: file, options: .mappedIfSafe) else {
      throw DemoError("\(name) cannot be read. Check its path.")
    }
    manifest = try Manifest(tflite: bytes, file: name)
    packer = try Packer(manifest.input)
    environment = try Handle("environment", { LiteRtCreateEnvironment(0, nil, $0) }, destroy: LiteRtDestroyEnvironment)
    let environment = environment.pointer
    model = try Handle(
      "model", { LiteRtCreateModelFromFile(environment, file.path, $0) }, destroy: LiteRtDestroyModel)
    let model = model.pointer
    let types = try tensorTypes(of: model, name)
    try types.input.info.match(manifest.inputTensor, role: "input", file: name)
    try types.output.info.match(manifest.outputTensor, role: "output", file: name)
    let options = try Handle("options", LiteRtCreateOptions, destroy: LiteRtDestroyOptions)
    try check("CPU", LiteRtSetOptionsHardwareAccelerators(options.pointer, Int32(kLiteRtHwAcceleratorCpu)))
    compiled = try Handle(
      "model", { LiteRtCreateCompiledModel(environment, model, options.pointer, $0) },
      destroy: LiteRtDestroyCompiledModel)
    let compiled = compiled.pointer
    let given = try ask("input") { LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, $0) }
    let made = try ask("output") { LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, 0, $0) }
    input = try TensorBuffer(environment, types.input, given)
    output = try TensorBuffer(environment, types.output, made)
  }

  /// An image at the model's input size.
  public func prepare(_ frame: RGBImage) throws {
    try frame.demand(manifest.input)
    try input.write { packer.pack(frame, into: $0) }
  }

  public func run<Value>(_ use: (Output) throws -> Value) throws -> Value {
    var (from, to): (LiteRtTensorBuffer?, LiteRtTensorBuffer?) = (input.pointer, output.pointer)
    try check("run", LiteRtRunCompiledModel(compiled.pointer, 0, 1, &from, 1, &to))
    return try output.read { try use(Output(type: manifest.output.dtype, bytes: $0)) }
  }
}

/// The types of the one input and the one output.
private func tensorTypes(
  of model: LiteRtModel, _ name: String
) throws -> (input: LiteRtRankedTensorType, output: LiteRtRankedTensorType) {
  let signature = try ask("signature") { LiteRtGetModelSignature(model, 0, $0) }
  var (inputs, outputs) = (0, 0)
  try check("signature", LiteRtGetNumSignatureInputs(signature, &inputs))
  try check("signature", LiteRtGetNumSignatureOutputs(signature, &outputs))
  guard (inputs, outputs) == (1, 1) else {
    throw DemoError("\(name) has \(inputs) inputs and \(outputs) outputs, one of each is expected. Export it again.")
  }
  return (
    try type(of: try ask("input") { LiteRtGetSignatureInputTensorByIndex(signature, 0, $0) }),
    try type(of: try ask("output") { LiteRtGetSignatureOutputTensorByIndex(signature, 0, $0) })
  )
}

private func type(of tensor: LiteRtTensor) throws -> LiteRtRankedTensorType {
  var type = LiteRtRankedTensorType()
  try check("tensor's type", LiteRtGetRankedTensorType(tensor, &type))
  return type
}
