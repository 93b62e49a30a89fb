"""Tiny Keras graphs as ONNX files, and what ONNX Runtime computes with them."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
from unit.quantization import nets

from mobile_seg.converters.onnx.writer import onnx_model
from mobile_seg.graph import view
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.verify.onnx_runner import load_session

SIZE = (11, 14)
"""Odd and even, neither a multiple of the strides: a pad on the wrong side shows."""

CHANNELS = 4

RELATIVE = 1e-5
"""Of the largest output. Two float32 sums of some hundred terms in different order part by some 2^-24 of their
magnitudes for each doubling of the number of terms, below 1e-6; tanh, erf and exp are approximated to about as much."""


def graph(body: Callable[[Any], Any], size: tuple[int, ...] = SIZE, channels: int = CHANNELS) -> keras.Model:
    """Input → `body`, its weights as training could have left them."""
    x = keras.Input((*size, channels), name="given")
    model = keras.Model(x, body(x))
    nets.randomize(model)
    return model


def samples(model: keras.Model, seed: int = 3) -> list[np.ndarray]:
    """One sample for each input, both signs, some numbers beyond every clamp."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0.0, 3.0, (1, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]


def run(made: Any, arrays: list[np.ndarray], *, threads: int = 1) -> list[np.ndarray]:
    """The outputs of a written model on arrays."""
    session = load_session(made.SerializeToString(), name="made", threads=threads)
    names = [tensor.name for tensor in session.get_inputs()]
    return [np.asarray(one) for one in session.run(None, dict(zip(names, arrays, strict=True)))]


def expected(model: keras.Model, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What Keras computes."""
    found = model(arrays[0] if len(arrays) == 1 else arrays, training=False)
    return [np.asarray(one) for one in (found if isinstance(found, (list, tuple)) else [found])]


def first(array: np.ndarray) -> np.ndarray:
    """An image with its channels first; other tensors as they are."""
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if array.ndim == 4 else array


def agree(model: keras.Model, layout: str = "nhwc") -> Counter[str]:
    """Check a float model against its file, and return how often each operator is in it."""
    arrays = samples(model)
    made = onnx_model(model, layout=layout)
    given = [first(one) for one in arrays] if layout == "nchw" else arrays
    for found, wanted in zip(run(made, given), expected(model, arrays), strict=True):
        wanted = first(wanted) if layout == "nchw" else wanted
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= RELATIVE * np.abs(wanted).max()
        assert np.ptp(wanted) > 0, "a constant says nothing"
    return operators(made)


def operators(made: Any) -> Counter[str]:
    """How often each operator is in a written model."""
    return Counter(node.op_type for node in made.graph.node)


def local_steps(quantized: keras.Model, made: Any, image: np.ndarray) -> dict[str, float]:
    """The largest difference in steps of each quantized tensor of a file by itself; see `nets.local_steps`.

    Where a weighted fusion's shares are folded into what it reads, file and graph have other steps, but the same
    integers: those are compared.
    """
    seen, held = onnx.ModelProto.FromString(made.SerializeToString()), made.graph
    integers = [node.output[0] for node in held.node if node.op_type == "QuantizeLinear"]
    handed = {tensor.name for tensor in held.output}
    for name in integers:
        if name not in handed:
            seen.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None))
    session = load_session(seen.SerializeToString(), name="made", threads=1)
    names = [tensor.name for tensor in session.get_outputs()]
    found = dict(zip(names, session.run(None, {held.input[0].name: image[None]}), strict=True))
    graph = view(quantized)
    named = {
        name: found[own]
        for name in graph.order
        if isinstance(graph.layers[name], FakeQuant) and (own := f"{name.removesuffix('_quant')}_integers") in found
    }
    output = found[held.output[0].name]
    if output.dtype == np.uint8:
        named[graph.outputs[0]] = first(output)
    return nets.local_steps(quantized, named, image)
