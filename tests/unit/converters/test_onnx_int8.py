"""Integer kernels in ONNX Runtime against the quantization-aware graph, tensor by tensor.

A settled graph computes what TFLite's kernels compute. Those of ONNX Runtime differ from them in this, and no more:

- **Convolution, dense, product.** Nothing: both multiply the accumulator by one float32 factor and round ties to even.
- **Sum, difference.** Nothing: it adds in float32, TFLite in fixed point, with factors of 21 bits and ties up, but
  settled steps leave no sum so near to the middle that they part (`quantization/sums.py`).
- **Dense on sequences.** A bias is added in float32: a step apart where its last bit decides.
- **Concatenation.** A branch on another grid is moved to the joined one by float32 there, by a factor of 8 fractional
  bits in the graph (255/512 of a step off): a step apart at most.
- **Means, bilinear resizing.** Rounded once each, ties to even; in the graph ties go up, or away from the middle: a
  step apart at most.
- **Hard-swish.** Floats, rounded once; the graph has the numbers of TFLite's 16-bit fixed point, less than a step off
  before it is rounded: two steps at most.
- **Sigmoid, tanh, softmax.** A table, or floats, both of the rounded function: a step apart where float32's last bit
  decides.
- **Clamps and copies.** Nothing.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from unit.converters.onnx_runs import RELATIVE, local_steps, operators, run
from unit.quantization import nets

from mobile_seg.converters.onnx.writer import onnx_model
from mobile_seg.layers import Resize, SpaceToDepth, WeightedSum
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.settle import settle

SIZE = (14, 18)


def _conv(x: Any, filters: int = 8, kernel: int = 3, **options: Any) -> Any:
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, **options)(x)
    return layers.ReLU(6)(layers.BatchNormalization()(x))


def _squeezed(x: Any) -> Any:
    x = _conv(x)
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Activation("hard_sigmoid")(layers.Conv2D(8, 1)(gate))
    return layers.Conv2D(3, 1)(layers.Multiply()([x, gate]))


BODIES: dict[str, tuple[Callable[[Any], Any], float]] = {
    "convolutions": (lambda x: layers.Conv2D(3, 1)(_conv(_conv(x, strides=2), dilation_rate=2)), 0),
    "depthwise": (lambda x: layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(_conv(x)), 0),
    "transposed": (lambda x: layers.Conv2DTranspose(3, 4, strides=2, padding="same")(_conv(x)), 0),
    "dense": (lambda x: layers.Dense(5)(layers.Dense(7, activation="relu")(layers.Flatten()(_conv(x)))), 0),
    "dense-sequence": (lambda x: layers.Dense(5)(layers.Reshape((14, -1))(_conv(x))), 1),
    "dense-image": (lambda x: layers.Dense(5)(_conv(x)), 0),
    "product": (lambda x: layers.Multiply()([_conv(x), layers.Conv2D(8, 3, padding="same")(x)]), 0),
    "sum": (lambda x: layers.Add()([_conv(x), layers.Conv2D(8, 3, padding="same")(x)]), 0),
    "difference": (lambda x: layers.Subtract()([_conv(x), layers.Conv2D(8, 3, padding="same")(x)]), 0),
    "join": (lambda x: layers.Conv2D(3, 1)(layers.Concatenate()([_conv(x), _conv(x, 4)])), 0),
    "join-read-elsewhere": (
        lambda x: layers.Concatenate()([y := layers.Conv2D(4, 1)(x), layers.Conv2D(8, 3, padding="same")(y)]),
        1,
    ),
    "weighted": (lambda x: layers.Conv2D(3, 1)(WeightedSum()([_conv(x), _conv(x)])), 1),
    "max-pool": (lambda x: layers.MaxPooling2D(3, strides=2, padding="same")(layers.Conv2D(8, 3)(x)), 0),
    "pad-max-pool": (lambda x: layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(_conv(x))), 0),
    "pad": (lambda x: layers.Conv2D(3, 3, strides=2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(_conv(x))), 0),
    "mean-pool": (lambda x: layers.Conv2D(3, 1)(layers.AveragePooling2D(2)(_conv(x))), 1),
    "global-mean": (lambda x: layers.Dense(5)(layers.GlobalAveragePooling2D()(_conv(x))), 1),
    "nearest": (lambda x: layers.Conv2D(3, 1)(layers.UpSampling2D(2)(layers.Conv2D(8, 3, strides=2)(x))), 0),
    "nearest-tie": (lambda x: layers.Conv2D(3, 1)(Resize((7, 5), "nearest")(layers.Conv2D(8, 1)(x))), 0),
    "bilinear": (lambda x: Resize((21, 30))(layers.Conv2D(8, 3, strides=2)(x)), 1),
    "blocks": (lambda x: layers.Conv2D(3, 1)(SpaceToDepth(2)(layers.Conv2D(4, 1)(x))), 0),
    "sigmoid": (lambda x: layers.Activation("sigmoid")(layers.Conv2D(8, 1)(x)), 1),
    "tanh": (lambda x: layers.Activation("tanh")(layers.Conv2D(8, 1)(x)), 1),
    "softmax": (lambda x: layers.Softmax()(layers.Conv2D(8, 1)(x)), 1),
    "silu": (lambda x: layers.Conv2D(3, 1)(layers.Activation("silu")(layers.Conv2D(8, 1)(x))), 1),
    "hard-swish": (lambda x: layers.Conv2D(3, 1)(layers.Activation("hard_silu")(layers.Conv2D(8, 1)(x))), 2),
    "squeezed": (_squeezed, 1),
}
"""Graph → its body, and by how many steps a tensor may differ, as derived above."""


def _quantized(body: Callable[[Any], Any]) -> keras.Model:
    quantized = nets.calibrated(nets.net(body, size=SIZE))
    settle(quantized)
    return quantized


@pytest.mark.parametrize("name", BODIES)
def test_every_tensor_is_that_of_the_graph(name: str) -> None:
    body, bound = BODIES[name]
    quantized = _quantized(body)
    made = onnx_model(deploy_graph(quantized), integer_graph=True, io="uint8")
    for image in nets.images(3, SIZE):
        steps = local_steps(quantized, made, image)
        assert len(steps) >= 2, "the quantizers are found again in the file"
        assert max(steps.values()) <= bound, steps


def test_a_planted_step_is_found() -> None:
    """The comparison above can fail: a scale that is a hundredth too large moves numbers by a step."""
    quantized = _quantized(BODIES["convolutions"][0])
    made = onnx_model(deploy_graph(quantized), integer_graph=True, io="uint8")
    node = next(node for node in made.graph.node if node.op_type == "QuantizeLinear")
    (scale,) = [tensor for tensor in made.graph.initializer if tensor.name == node.input[1]]
    wrong = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scale) * np.float32(1.01), scale.name)
    scale.CopyFrom(wrong)
    assert max(local_steps(quantized, made, nets.images(1, SIZE)[0]).values()) >= 1


def _optimized(content: bytes, folder: Path) -> Counter[str]:
    """The operators that ONNX Runtime makes of a file; `Transpose` and its own layout changes apart."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return operators(onnx.load(options.optimized_model_filepath))


def test_runtimes_find_their_integer_kernels(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        x = _conv(x, strides=2)
        y = layers.DepthwiseConv2D(3, padding="same")(x)
        x = layers.Add()([x, y])
        x = layers.Concatenate()([_conv(x), _conv(x)])
        x = layers.Multiply()([x, layers.Activation("sigmoid")(layers.Conv2D(16, 1)(x))])
        return layers.Conv2D(3, 1)(layers.UpSampling2D(2)(layers.MaxPooling2D(2)(x)))

    made = onnx_model(deploy_graph(_quantized(body)), integer_graph=True, io="uint8", layout="nchw")
    found = _optimized(made.SerializeToString(), tmp_path)
    floats = {"Conv", "Relu", "Clip", "Add", "Mul", "Concat", "Sigmoid", "QuantizeLinear", "DequantizeLinear"}
    assert not floats & set(found)
    assert found["QLinearConv"] == 6
    assert {"QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearSigmoid", "Resize"} <= set(found)
    assert found["MaxPool"] + found["NhwcMaxPool"] == 1


@pytest.mark.parametrize("kind", ["conv", "transposed", "dense"])
def test_what_is_kept_in_float_stays_so(kind: str) -> None:
    """ONNX Runtime would round such weights to 8 bits by itself: a hundred times what is allowed here."""
    first = {
        "conv": layers.Conv2D(8, 3, name="first"),
        "transposed": layers.Conv2DTranspose(8, 3, use_bias=False, name="first"),
        "dense": layers.Dense(8, use_bias=False, name="first"),
    }[kind]

    def body(x: Any) -> Any:
        x = layers.Flatten()(x) if kind == "dense" else x
        return layers.Dense(3, name="last")(first(x))

    quantized = nets.calibrated(nets.net(body, size=SIZE), keep={"first": "float"})
    settle(quantized)
    made = onnx_model(deploy_graph(quantized), integer_graph=True, io="uint8")
    kinds = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert kinds["first_kernel"] == onnx.TensorProto.FLOAT
    assert kinds["last_kernel_integers"] == onnx.TensorProto.INT8
    images = nets.images(3, SIZE)
    floats = keras.Model(quantized.input, quantized.get_layer("first").output)
    ended = onnx.ModelProto.FromString(made.SerializeToString())
    ended.graph.output.append(onnx.helper.make_tensor_value_info("first", onnx.TensorProto.FLOAT, None))
    for image in images:
        found, wanted = run(ended, [image[None]])[1], np.asarray(floats(image[None].astype(np.float32)))
        found = found.transpose(0, 2, 3, 1) if found.ndim == 4 else found
        assert np.abs(found - wanted).max() <= RELATIVE * np.abs(wanted).max()


def test_one_scale_for_all_channels_where_the_scheme_has_one() -> None:
    quantized = nets.calibrated(nets.net(BODIES["convolutions"][0], size=SIZE), scheme="int8-per-tensor")
    settle(quantized)
    made = onnx_model(deploy_graph(quantized), integer_graph=True, io="uint8")
    constants = {tensor.name: tensor for tensor in made.graph.initializer}
    kernels = [node for node in made.graph.node if node.input[0].endswith("_kernel_integers")]
    assert len(kernels) == 3
    assert all(not constants[node.input[1]].dims and not node.attribute for node in kernels)
    assert max(local_steps(quantized, made, nets.images(1, SIZE)[0]).values()) == 0


def test_large_weights_are_not_clipped_by_x86_kernels() -> None:
    """Products of bytes with weights beyond 64, added in pairs, leave 16 bits: the runner asks for exact kernels."""
    image = keras.Input((*SIZE, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0)(image)
    model = keras.Model(image, layers.Conv2D(4, 3)(x))
    (conv,) = (layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    conv.set_weights([np.ones(conv.kernel.shape), np.zeros(4)])
    quantized = nets.calibrated(model)
    settle(quantized)
    made = onnx_model(deploy_graph(quantized), integer_graph=True, io="uint8")
    white = np.full((*SIZE, 3), 255, np.uint8)
    assert max(local_steps(quantized, made, white).values()) == 0
