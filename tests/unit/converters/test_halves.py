"""Weights in half precision: which are, and that the file computes with what they were rounded to."""

from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers
from unit.quantization import nets

from mobile_seg.converters.flat import constant, operator_code, pack, unpack
from mobile_seg.converters.halves import SMALL, halved
from mobile_seg.converters.tflite import convert_graph

CHANNELS = 16


def _body(x: Any) -> Any:
    """432 weights, then 144, then 2304 and 2304; the last two are read twice."""
    x = layers.Conv2D(CHANNELS, 3, padding="same", activation="relu", name="narrow")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    shared = layers.Conv2D(CHANNELS, 3, padding="same", name="shared")
    return layers.Conv2D(CHANNELS, 3, padding="same", name="last")(shared(shared(x)))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A float model."""
    return nets.net(_body)


@pytest.fixture(scope="module")
def whole(model: keras.Model) -> bytes:
    """Its float32 file."""
    return convert_graph(model, precision="float32", io="uint8").content


def _kernels(content: bytes, kind: int) -> list[np.ndarray]:
    """The constants of four sides that a file holds in a type."""
    held = unpack(content)
    found = [constant(held, one) for one in held.subgraphs[0].tensors if one.type == kind and len(one.shape) == 4]
    return [one for one in found if one is not None]


def _run(content: bytes) -> np.ndarray:
    ((found, _),) = nets.run(content, nets.images(2))
    return found


@pytest.mark.parametrize(("small", "kept"), [(0, 0), (143, 0), (144, 1), (432, 2), (2304, 4)])
def test_tensors_up_to_a_size_stay_whole(whole: bytes, small: int, kept: int) -> None:
    made = halved(whole, small=small)
    assert len(_kernels(made, schema.TensorType.FLOAT32)) == kept
    assert len(_kernels(made, schema.TensorType.FLOAT16)) == 4 - kept
    assert (made == whole) == (kept == 4)


def test_the_file_computes_with_the_rounded_weights(model: keras.Model, whole: bytes) -> None:
    rounded = keras.models.clone_model(model)
    rounded.set_weights(model.get_weights())
    for layer in rounded.layers:
        layer.set_weights([one.astype(np.float16).astype(np.float32) for one in layer.get_weights()])
    expected = nets.logits(rounded, nets.images(2))
    found = _run(halved(whole, small=0))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    # And not with the ones before.
    assert np.abs(_run(whole) - expected).max() > 1e-4 * np.abs(expected).max()


def test_a_buffer_that_tensors_share_is_stored_once(whole: bytes) -> None:
    files = []
    for share in (True, False):
        held = unpack(whole)
        first, second = (one for one in held.subgraphs[0].tensors if _is_large_kernel(held, one))
        if share:
            second.buffer = first.buffer
        else:
            held.buffers[second.buffer].data = held.buffers[first.buffer].data
        files.append(halved(pack(held), small=432))
    assert [len(_kernels(one, schema.TensorType.FLOAT16)) for one in files] == [1, 2]
    np.testing.assert_array_equal(*map(_run, files))


def _is_large_kernel(held: Any, tensor: Any) -> bool:
    values = constant(held, tensor)
    return values is not None and values.size == 2304


def test_what_half_precision_cannot_hold_stays_whole(model: keras.Model) -> None:
    large = keras.models.clone_model(model)
    large.set_weights(model.get_weights())
    layer = large.get_layer("last")
    kernel, bias = layer.get_weights()
    kernel[0, 0, 0, 0] = 70000.0
    layer.set_weights([kernel, bias])
    made = halved(convert_graph(large, precision="float32", io="uint8").content, small=0)
    assert [float(one.max()) for one in _kernels(made, schema.TensorType.FLOAT32)] == [70000.0]
    assert np.isfinite(_run(made)).all()


def test_a_float16_file_has_half_the_bytes_of_its_large_weights() -> None:
    def body(x: Any) -> Any:
        x = layers.Conv2D(32, 1, name="narrow")(x)
        return layers.Conv2D(SMALL // 8, 3, name="wide")(x)

    model = nets.net(body)
    full, half = (convert_graph(model, precision=kind, io="uint8").content for kind in ("float32", "float16"))
    wide = 32 * 9 * SMALL // 8
    assert 2 * wide - 4096 < len(full) - len(half) < 2 * wide
    held = unpack(half)
    kinds = [operator_code(held, one) for one in held.subgraphs[0].operators]
    assert kinds.count(schema.BuiltinOperator.DEQUANTIZE) == 1
