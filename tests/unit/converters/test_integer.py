"""The integer file: what it holds, tensor by tensor, and every conversion with its reason."""

from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers
from unit.quantization.graphs import conv
from unit.quantization.nets import REASONS, calibrated, images, net, run

from mobile_seg.converters.builder import Conversion, Grid
from mobile_seg.converters.flat import constant, operator_code, shape, unpack
from mobile_seg.converters.kernels import KERNELS, PRESCRIBED_SCALES, Kind
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import ArtifactError, UsageError
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import SCHEMES
from mobile_seg.quantization.settle import settle

BYTES, JOINED, READ, WIDENED, FLOAT = REASONS
NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def _settled(body: Any, keep: dict[str, str] | None = None) -> keras.Model:
    model = calibrated(net(body), keep=keep)
    settle(model)
    return model


def _converted(body: Any, *, io: str = "int8", keep: dict[str, str] | None = None) -> tuple[Any, list[Conversion]]:
    """The file's objects, and its conversions."""
    made = convert_graph(deploy_graph(_settled(body, keep)), io=io)
    return unpack(made.content), list(made.conversions)


def _operations(model: Any) -> list[str]:
    return [NAMES[operator_code(model, operator)] for operator in model.subgraphs[0].operators]


def _tensors(model: Any, operation: str) -> list[Any]:
    """Inputs of the first such operation, then its output."""
    graph = model.subgraphs[0]
    operator = next(one for one in graph.operators if NAMES[operator_code(model, one)] == operation)
    return [graph.tensors[index] for index in (*operator.inputs, *operator.outputs)]


@pytest.mark.parametrize("name", ["conv", "depthwise", "transposed", "dense"])
def test_weights_and_biases_are_the_layers_integers(name: str) -> None:
    kinds = {
        "conv": (layers.Conv2D(5, 3, name="it"), "CONV_2D", (3, 0, 1, 2), 0),
        "depthwise": (layers.DepthwiseConv2D(3, depth_multiplier=2, name="it"), "DEPTHWISE_CONV_2D", None, 3),
        "transposed": (layers.Conv2DTranspose(5, 3, name="it"), "TRANSPOSE_CONV", (2, 0, 1, 3), 0),
        "dense": (layers.Dense(5, name="it"), "FULLY_CONNECTED", (1, 0), 0),
    }
    layer, operation, order, axis = kinds[name]
    quantized = _settled(layer)
    file = unpack(convert_graph(deploy_graph(quantized)).content)
    twin = quantized.get_layer("it")
    found = _tensors(file, operation)
    weights, bias = (found[1], found[3]) if name == "transposed" else (found[1], found[2])
    kernel, steps = np.asarray(twin.folded()[0]), np.asarray(twin.weight_step)
    expected = np.round(kernel / np.asarray(twin._per_channel(steps)))
    expected = expected.reshape(1, *kernel.shape[:2], -1) if order is None else expected.transpose(order)
    np.testing.assert_array_equal(constant(file, weights), expected)
    assert (weights.type, bias.type) == (schema.TensorType.INT8, schema.TensorType.INT32)
    assert weights.quantization.quantizedDimension == axis
    np.testing.assert_array_equal(weights.quantization.scale, steps)
    scale = np.asarray(bias.quantization.scale, np.float64)
    np.testing.assert_allclose(scale, float(twin.input_step) * steps, rtol=1e-6)
    np.testing.assert_array_equal(constant(file, bias), np.round(np.asarray(twin.folded()[1]) / scale))


def test_grids_are_the_quantizers() -> None:
    quantized = _settled(lambda x: layers.Conv2D(4, 1, name="it")(x))
    output = _tensors(unpack(convert_graph(deploy_graph(quantized)).content), "CONV_2D")[-1]
    quantizer = quantized.get_layer("it_quant")
    assert output.quantization.scale == np.float32(quantizer.step)
    assert output.quantization.zeroPoint == quantizer.zero_point - 128


ENDS = {
    "uint8": (["QUANTIZE", "CONV_2D"], schema.TensorType.UINT8, schema.TensorType.INT8),
    "int8": (["CONV_2D"], schema.TensorType.INT8, schema.TensorType.INT8),
    "float": (["QUANTIZE", "CONV_2D", "DEQUANTIZE"], schema.TensorType.FLOAT32, schema.TensorType.FLOAT32),
}


@pytest.mark.parametrize("io", ENDS)
def test_the_ends_are_as_asked_and_converted_there_alone(io: str) -> None:
    file, conversions = _converted(lambda x: conv()(x), io=io)
    operations, given, made = ENDS[io]
    graph = file.subgraphs[0]
    assert _operations(file) == operations
    assert (graph.tensors[graph.inputs[0]].type, graph.tensors[graph.outputs[0]].type) == (given, made)
    assert [one.operation for one in conversions] == [name for name in operations if "QUANTIZE" in name]


def test_an_unknown_end_or_precision_is_refused() -> None:
    graph = deploy_graph(_settled(lambda x: conv()(x)))
    with pytest.raises(UsageError, match=r"io='bytes'.*uint8, int8, float"):
        convert_graph(graph, io="bytes")
    with pytest.raises(UsageError, match="precision='int4'"):
        convert_graph(graph, precision="int4")


def test_a_join_of_two_ranges_names_the_tensor_it_moves() -> None:
    def body(x: Any) -> Any:
        shared = layers.Conv2D(4, 1, name="shared")(x)
        joined = layers.Concatenate(name="join")([shared, layers.Conv2D(3, 1, name="own")(x)])
        return layers.Add(name="sum")([layers.Conv2D(4, 1, name="after")(joined), shared])

    file, (only,) = _converted(body)
    assert (only.operation, only.reason) == ("QUANTIZE", JOINED)
    assert "shared" in only.tensor
    tensors = _tensors(file, "CONCATENATION")
    assert len({(float(t.quantization.scale[0]), int(t.quantization.zeroPoint[0])) for t in tensors}) == 1


def test_a_tensor_is_moved_to_a_grid_once() -> None:
    def body(x: Any) -> Any:
        y = layers.Conv2D(4, 1, name="kept")(layers.Conv2D(4, 1, name="before")(x))
        return layers.Add()([layers.Conv2D(4, 1, name="one")(y), layers.Conv2D(4, 1, name="two")(y)])

    _, conversions = _converted(body, keep={"one": "float", "two": "float"})
    # Both layers read the same floats: one DEQUANTIZE of `kept`, one QUANTIZE behind each.
    assert [(one.operation, one.reason) for one in conversions] == [
        ("DEQUANTIZE", FLOAT), ("QUANTIZE", READ), ("QUANTIZE", READ),
    ]  # fmt: skip


def test_a_layer_raised_to_16_bits_is_wide_alone() -> None:
    def body(x: Any) -> Any:
        y = layers.Conv2D(4, 1, name="wide")(layers.Conv2D(4, 1, name="before")(x))
        return layers.Conv2D(3, 1, name="last")(layers.MaxPooling2D(2, name="pool")(y))

    file, conversions = _converted(body, keep={"wide": "int16x8"})
    assert _operations(file) == ["CONV_2D", "QUANTIZE", "CONV_2D", "MAX_POOL_2D", "CONV_2D", "QUANTIZE"]
    assert [one.reason for one in conversions] == [WIDENED, READ]
    bias = _tensors(file, "MAX_POOL_2D")
    assert {tensor.type for tensor in bias} == {schema.TensorType.INT16}
    kinds = [
        file.subgraphs[0].tensors[one.inputs[2]].type for one in file.subgraphs[0].operators if len(one.inputs) == 3
    ]
    assert kinds == [schema.TensorType.INT32, schema.TensorType.INT64, schema.TensorType.INT64]


def test_a_constant_factor_is_exact() -> None:
    file, _ = _converted(lambda x: layers.Rescaling(-0.7)(layers.ReLU()(conv()(x))))
    factor = _tensors(file, "MUL")[1]
    assert constant(file, factor) == -127
    assert factor.quantization.scale * -127 == pytest.approx(-0.7, rel=1e-6)


def test_a_mean_behind_a_reshape_is_not_rounded_to_its_inputs_grid() -> None:
    def body(x: Any) -> Any:
        return conv(3, 1)(layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D(name="mean")(conv()(x))))

    quantized = _settled(body)
    made = convert_graph(deploy_graph(quantized))
    assert made.conversions == ()
    output = _tensors(unpack(made.content), "MEAN")[-1]
    assert output.quantization.scale == np.float32(quantized.get_layer("mean_quant").step)


def test_a_range_that_a_kernel_does_not_have_is_refused() -> None:
    model = calibrated(net(lambda x: layers.Activation("sigmoid", name="act")(conv()(x))))
    quantizer = next(layer for layer in model.layers if layer.name == "act_quant")
    quantizer.set_range(0.0, 2.0)
    with pytest.raises(ArtifactError, match=r"its kernel gives steps of 0.00390625 .* not made by mobile_seg"):
        convert_graph(deploy_graph(model))


def test_a_kernel_that_is_missing_in_16_bits_is_refused() -> None:
    import tensorflow as tf

    model = insert_quantizers(net(conv()), scheme=SCHEMES["int16x8"])
    calibrate(model, [images().astype(np.float32)])
    with pytest.raises(ArtifactError, match="no 16-bit kernel for this operation; leave it at 8 bits"):
        convert_graph(deploy_graph(model), precision="int16x8", head=lambda logits: tf.argmax(logits, axis=-1))


@pytest.mark.parametrize("options", [{"zero_point": 3}, {}, {"bits": 16, "scale": (0.001,)}], ids=str)
def test_a_grid_gives_the_nearest_integer_it_has(options: dict[str, Any]) -> None:
    grid = Grid(**{"bits": 8, "scale": (0.5,), **options})
    values = np.array([0.0, 0.6, -0.9, 1e6, -1e6])
    bound = 2 ** (grid.bits - 1)
    expected = np.clip(np.round(values / grid.scale[0]) + grid.zero_point, -bound, bound - 1)
    np.testing.assert_array_equal(grid.integers(values), expected)


def test_a_grid_of_several_scales_runs_along_its_axis() -> None:
    values = np.array([[1.0, 1.0], [2.0, 2.0]])
    np.testing.assert_array_equal(Grid(8, (1.0, 0.5), axis=0).integers(values), [[1, 1], [4, 4]])
    np.testing.assert_array_equal(Grid(8, (1.0, 0.5), axis=1).integers(values), [[1, 2], [2, 4]])


def test_prescribed_scales_are_there_for_every_kernel_that_has_one() -> None:
    for code, kernel in KERNELS.items():
        prescribed = {bits for operation, bits in PRESCRIBED_SCALES if operation == code}
        assert prescribed == ({8, 16} if kernel.kind is Kind.PRESCRIBED else set())


def test_inputs_that_only_differ_in_sign_of_their_bytes_give_the_same() -> None:
    quantized, shown = _settled(lambda x: conv()(x)), images()
    unsigned = run(convert_graph(deploy_graph(quantized), io="uint8").content, shown)
    signed = run(convert_graph(deploy_graph(quantized), io="int8").content, (shown ^ 0x80).view(np.int8))
    np.testing.assert_array_equal(unsigned[0][0], signed[0][0])


def test_a_float_end_takes_and_gives_real_numbers() -> None:
    quantized, shown = _settled(lambda x: conv()(x)), images()
    ((made, (scale, _)),) = run(
        convert_graph(deploy_graph(quantized), io="float").content, (shown.astype(np.float32) - 128) / 128
    )
    assert scale == 0
    expected = np.asarray(quantized(shown.astype(np.float32), training=False))
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_every_shape_in_the_file_is_known() -> None:
    file, _ = _converted(lambda x: layers.Dense(3)(layers.Flatten()(layers.MaxPooling2D(4)(conv()(x)))))
    assert all(size > 0 for tensor in file.subgraphs[0].tensors for size in shape(tensor))
    assert not [layer for layer in deploy_graph(_settled(lambda x: conv()(x))).layers if _learns(layer)]


def _learns(layer: Any) -> bool:
    return isinstance(layer, FakeQuant) and layer.observes


def test_constants_that_are_alike_are_stored_once() -> None:
    def kernels(alike: bool) -> int:
        made, _ = _converted(lambda x: shared_twice(x, alike=alike))
        assert {tensor.type for tensor in made.subgraphs[0].tensors} == {
            schema.TensorType.INT8,
            schema.TensorType.INT32,
        }
        return sum(buffer.data is not None and len(buffer.data) == 3 * 3 * 4 * 4 for buffer in made.buffers)

    assert (kernels(alike=True), kernels(alike=False)) == (1, 2)


def shared_twice(x: Any, *, alike: bool) -> Any:
    """One 3x3 convolution called twice, or two."""
    first = layers.Conv2D(4, 3, padding="same", name="first")
    x = first(layers.Conv2D(4, 1, name="entry")(x))
    return (first if alike else layers.Conv2D(4, 3, padding="same", name="second"))(layers.MaxPooling2D()(x))


def test_tensors_are_named_by_their_own_layer() -> None:
    model, _ = _converted(lambda x: layers.ReLU(name="clamp")(layers.BatchNormalization()(layers.Conv2D(4, 1)(x))))
    assert not any(b";" in tensor.name for tensor in model.subgraphs[0].tensors)
