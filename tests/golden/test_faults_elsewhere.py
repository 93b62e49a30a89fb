"""The same mistakes in ONNX and Core ML files: what is wrong with the weights is named there too."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from golden import street

from mobile_seg.converters.coreml.writer import convert_coreml
from mobile_seg.converters.onnx.writer import convert_onnx
from mobile_seg.converters.options import ExportOptions
from mobile_seg.errors import ParityError
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.lower import lower
from mobile_seg.verify import gate
from mobile_seg.verify.compare import compare
from mobile_seg.verify.coreml.runner import open_coreml
from mobile_seg.verify.diagnosis.diagnose import diagnose
from mobile_seg.verify.onnx_runner import OnnxRunner
from mobile_seg.verify.runners import Runner

Edit = Callable[[dict[str, Any]], None]


def transposed(held: dict[str, Any]) -> None:
    """Rows and columns of a kernel change places."""
    _change(held["mix"], lambda kernel: kernel.swapaxes(2, 3))


def without_bias(held: dict[str, Any]) -> None:
    _change(held["mix_bias"], np.zeros_like)


def bgr(held: dict[str, Any]) -> None:
    """The first kernel's input channels stand backwards."""
    _change(held["stem"], lambda kernel: kernel[:, ::-1])


def _change(initializer: Any, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    values = onnx.numpy_helper.to_array(initializer)
    made = np.ascontiguousarray(edit(values))
    assert not np.array_equal(made, values)
    initializer.CopyFrom(onnx.numpy_helper.from_array(made, initializer.name))


def onnx_file(precision: str, edit: Edit | None = None) -> Runner:
    """The street's network as ONNX, with a mistake in the weights of a layer."""
    model, integers = street.reference_model(precision, "logits"), precision == "int8"
    made = convert_onnx(
        deploy_graph(model) if integers else lower(model),
        options=ExportOptions(target="onnx", precision=precision),
        manifest=street.manifest_of(model),
        integer_graph=integers,
    )
    assert isinstance(made.content, bytes)
    proto = onnx.load_from_string(made.content)
    if edit is not None:
        layers = {node.name: node for node in proto.graph.node if node.op_type == "Conv"}
        held = {one.name: one for one in proto.graph.initializer}
        behind = {node.output[0]: node.input[0] for node in proto.graph.node if node.op_type == "DequantizeLinear"}
        found = {}
        for name, node in layers.items():
            kernel, bias = node.input[1:]
            found[name], found[f"{name}_bias"] = held[behind.get(kernel, kernel)], held[behind.get(bias, bias)]
        edit(found)
    return OnnxRunner(proto.SerializeToString(), manifest=made.manifest)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(
    ("edit", "name"), [(transposed, "kernel-transposed"), (without_bias, "bias-dropped"), (bgr, "channels-swapped")]
)
def test_a_mistake_in_an_onnx_file_is_caught_by_name(edit: Edit, name: str, precision: str) -> None:
    reference, candidate = street.reference(precision, "logits"), onnx_file(precision, edit)
    with pytest.raises(ParityError):
        gate.check(compare(reference, candidate, street.shown()), precision=precision, target="onnx", artifact="street")
    assert [finding.name for finding in diagnose(reference, candidate, street.shown())][:1] == [name]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_sound_onnx_file_passes_and_has_no_finding(precision: str) -> None:
    reference, candidate = street.reference(precision, "logits"), onnx_file(precision)
    gate.check(compare(reference, candidate, street.shown()), precision=precision, target="onnx", artifact="street")
    assert diagnose(reference, candidate, street.shown()) == ()


def test_a_sound_package_passes_and_its_weights_are_found(tmp_path: Path) -> None:
    model = street.reference_model("float32", "logits")
    options = ExportOptions(target="coreml", precision="float32")
    made = convert_coreml(model, options=options, manifest=street.manifest_of(model), integer_graph=False)
    assert isinstance(made.content, dict)
    package = tmp_path / "street.mlpackage"
    for name, content in made.content.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes(content)
    reference, candidate = street.reference("float32", "logits"), open_coreml(package)
    gate.check(compare(reference, candidate, street.shown()), precision="float32", target="coreml", artifact="street")
    assert diagnose(reference, candidate, street.shown()) == ()
    kernels = Counter(int(np.prod(layer.kernel.shape)) for layer in model.layers if hasattr(layer, "kernel"))
    held = Counter(one.size for one in candidate.constants().values() if one.ndim == 4)
    assert not kernels - held, "each is there, beside the normalization of the image"
