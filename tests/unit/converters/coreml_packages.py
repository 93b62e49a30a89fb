"""From a Keras model to a package on the disk, and to what the evaluator computes of it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from unit.quantization import nets

from mobile_seg.converters.converted import Converted
from mobile_seg.converters.coreml.writer import convert_coreml, convert_graph
from mobile_seg.converters.options import ExportOptions
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.rewrite import is_quantized
from mobile_seg.verify.coreml.package import protobuf
from mobile_seg.verify.coreml.program import Program
from mobile_seg.verify.coreml.runner import CoreMLRunner, open_coreml

SPECIFICATION = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


def converted(model: keras.Model, precision: str = "float32", output: str = "logits") -> Converted:
    """Convert a float model, or a quantization-aware one, as an export does."""
    model = nets.in_form(model, output)
    integers = is_quantized(model)
    options = ExportOptions(target="coreml", precision=precision, output=output)
    graph = deploy_graph(model) if integers else model
    return convert_coreml(graph, options=options, manifest=nets.manifest_of(model), integer_graph=integers)


def saved(made: Converted, folder: Path) -> Path:
    """Write a package's files."""
    assert isinstance(made.content, dict)
    package = folder / "net.mlpackage"
    for name, content in made.content.items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return package


def opened(model: keras.Model, folder: Path, precision: str = "float32", output: str = "logits") -> CoreMLRunner:
    """Convert, save, and load what was saved."""
    return open_coreml(saved(converted(model, precision, output), folder))


def outputs(runner: CoreMLRunner, pixels: np.ndarray) -> np.ndarray:
    """What a package gives for a batch of bytes."""
    return np.stack([runner.run(image) for image in pixels])


def specification(package: Path) -> Any:
    """The saved `Model_pb2.Model`."""
    return protobuf().Model.FromString((package / SPECIFICATION).read_bytes())


def operations(model: Any) -> list[Any]:
    """The operations of a specification's program."""
    main = model.mlProgram.functions["main"]
    return list(main.block_specializations[main.opset].operations)


def replace(package: Path, model: Any) -> None:
    """Save a changed specification."""
    (package / SPECIFICATION).write_bytes(model.SerializeToString(deterministic=True))


def constant(model: Any, operation: Any, parameter: str) -> Any:
    """The `MIL_pb2.Value` of an operation's constant parameter, to read or to change."""
    (argument,) = operation.inputs[parameter].arguments
    if argument.WhichOneof("binding") == "value":
        return argument.value
    (found,) = [one for one in operations(model) if any(made.name == argument.name for made in one.outputs)]
    return found.attributes["val"]


def quantizer_in(tensor: str) -> str:
    """The layer whose bytes a tensor of a package is: `net_deploy_1_stem_quant_1_FakeQuant…` → `stem_quant`."""
    return tensor.split("_deploy_1_")[1].split("_1_FakeQuant")[0]


def local_steps(graph: keras.Model, image: np.ndarray, *, half: bool) -> dict[str, float]:
    """The largest difference in steps of each quantized tensor of a package by itself; see `nets.local_steps`.

    `half`: the package computes in float16 between two roundings, else in float32.
    """
    made = convert_graph(graph, precision="int8", half=half)
    program = Program(made.specification, {"@model_path/weights/weight.bin": made.weights})
    (result,) = program.outputs
    tensors = [one.outputs[0].name for one in operations(made.specification) if one.type == "quantize"]
    named = {quantizer_in(tensor): tensor for tensor in tensors}
    program.outputs = (result, *named.values())
    found = program.run({"image": image.transpose(2, 0, 1)[None].astype(np.float32)})
    integers = {}
    for name, tensor in named.items():
        array = found[tensor]
        last = array.shape[1:] == graph.get_layer(name).output.shape[1:]  # behind the transpose at the end
        integers[name] = array.transpose(0, 3, 1, 2) if last else array
    return nets.local_steps(graph, integers, image)
