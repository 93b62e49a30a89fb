"""The rewrite as a whole: what it refuses, by name and with the way out, and what it leaves alone."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import Body, calibrated, images, logits, net

from mobile_seg.errors import UnsupportedLayerError, UsageError
from mobile_seg.quantization import limits, scheme
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.layers import FakeQuant, QuantConv2D
from mobile_seg.quantization.rewrite import insert_quantizers, is_quantized


def _conv(x: Any, **options: Any) -> Any:
    return layers.Conv2D(4, 1, **options)(x)


def _normalized(shape: tuple[int, ...] = (8, 8, 3)) -> tuple[Any, Any]:
    image = keras.Input(shape, name="image")
    return image, layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)


REFUSED: dict[str, tuple[Body, str]] = {
    "known_layer": (lambda x: layers.PReLU(name="odd")(_conv(x)), "odd (PReLU)"),
    "known_layer: swish": (lambda x: layers.Activation("swish", name="odd")(_conv(x)), "odd (Activation)"),
    "known_layer: leaky": (lambda x: layers.ReLU(negative_slope=0.1, name="odd")(_conv(x)), "odd (ReLU)"),
    "known_layer: rescaling inside": (lambda x: layers.Rescaling(2.0, name="odd")(_conv(x)), "odd (Rescaling)"),
    "last_channel": (
        lambda x: layers.MaxPooling2D(2, data_format="channels_first", name="odd")(_conv(x)),
        "odd (MaxPooling2D)",
    ),
    "plain_upsampling": (
        lambda x: layers.UpSampling2D(2, interpolation="bicubic", name="odd")(_conv(x)),
        "odd (UpSampling2D)",
    ),
    "one_group": (lambda x: layers.Conv2D(4, 1, groups=2, name="odd")(_conv(x)), "odd (Conv2D)"),
    "clamping_activation": (lambda x: _conv(x, activation="gelu", name="odd"), "odd (Conv2D)"),
    "folded_normalization": (lambda x: layers.BatchNormalization(name="odd")(x), "odd (BatchNormalization)"),
    "folded_normalization: behind an activation": (
        lambda x: layers.BatchNormalization(name="odd")(_conv(x, activation="relu")),
        "odd (BatchNormalization)",
    ),
    "folded_normalization: another reader": (
        lambda x: (lambda y: layers.Add()([y, layers.BatchNormalization(name="odd")(y)]))(_conv(x)),
        "odd (BatchNormalization)",
    ),
    "folded_normalization: another axis": (
        lambda x: layers.BatchNormalization(axis=1, name="odd")(_conv(x)),
        "odd (BatchNormalization)",
    ),
    "sum_of_two": (lambda x: layers.Add(name="odd")([_conv(x), _conv(x), _conv(x)]), "odd (Add)"),
    "computed_branches": (lambda x: layers.Concatenate(name="odd")([x, _conv(x)]), "odd (Concatenate)"),
    "computed_branches: resized": (
        lambda x: layers.Concatenate(name="odd")([layers.MaxPooling2D(2)(x), _conv(x, strides=2)]),
        "odd (Concatenate)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_int8_cannot_run_is_refused_by_name(case: str) -> None:
    body, named = REFUSED[case]
    limit = getattr(limits, case.partition(":")[0])
    with pytest.raises(UnsupportedLayerError) as caught:
        insert_quantizers(net(body))
    assert str(caught.value) == f"layer {named} cannot be quantized. {limit.__doc__}"


def test_an_input_that_is_not_rescaled_is_refused() -> None:
    image = keras.Input((8, 8, 3), name="image")
    with pytest.raises(UnsupportedLayerError, match=r"image \(InputLayer\).*Rescaling.*add that layer"):
        insert_quantizers(keras.Model(image, _conv(image)))


@pytest.mark.parametrize("scale", [[0.1, 0.2, 0.3], -0.5], ids=str)
def test_a_rescaling_without_one_positive_scale_is_refused(scale: Any) -> None:
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, _conv(layers.Rescaling(scale, name="odd")(image)))
    with pytest.raises(UnsupportedLayerError, match=r"odd \(Rescaling\)"):
        insert_quantizers(model)


@pytest.mark.parametrize("limit", limits.LIMITS, ids=lambda limit: limit.__name__)
def test_each_limit_is_one_sentence_with_the_way_out(limit: limits.Limit) -> None:
    assert limit.__doc__
    assert "\n" not in limit.__doc__
    assert limit.__doc__.endswith(".")
    assert ";" in limit.__doc__, "the cause; what to do"


def test_each_limit_is_tried() -> None:
    tried = {case.partition(":")[0] for case in REFUSED} | {"rescaled_input", "one_rescaling"}
    assert tried == {limit.__name__ for limit in limits.LIMITS}


def test_quantizing_twice_is_refused() -> None:
    model = calibrated(net(_conv))
    assert is_quantized(model)
    with pytest.raises(UsageError, match="quantized already; start from the float model"):
        insert_quantizers(model)


def test_the_float_model_is_untouched() -> None:
    model = net(lambda x: layers.ReLU()(layers.BatchNormalization()(_conv(x))))
    before, names = [np.asarray(variable).copy() for variable in model.weights], [layer.name for layer in model.layers]
    quantized = insert_quantizers(model)
    quantized.layers[-2].set_weights([value * 2 for value in quantized.layers[-2].get_weights()])
    assert [layer.name for layer in model.layers] == names
    for one, other in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(np.asarray(one), other)


def test_layers_keep_their_names_and_shapes() -> None:
    model = net(lambda x: layers.ReLU(name="act")(layers.BatchNormalization(name="bn")(_conv(x, name="conv"))))
    quantized = insert_quantizers(model)
    assert [layer.name for layer in quantized.layers] == [
        "image", "normalize", "normalize_quant", "conv", "act", "act_quant",
    ]  # fmt: skip
    assert quantized.output_shape == model.output_shape
    assert quantized.name == "net_int8_qat"


def test_quantizers_follow_float_values_closely_when_ranges_fit() -> None:
    model = net(lambda x: layers.ReLU(6)(layers.BatchNormalization()(_conv(x))))
    quantized = insert_quantizers(model)
    calibrate(quantized, [images().astype(np.float32)], method="minmax")
    low, high = next(layer for layer in quantized.layers[::-1] if isinstance(layer, FakeQuant)).get_range()
    # One step of the output, and what 8-bit weights cost: half a weight step on each of three inputs below 1.
    kernel, _ = next(layer for layer in quantized.layers if isinstance(layer, QuantConv2D)).deploy_weights()
    allowed = (high - low) / 255 + 3 * np.abs(kernel).max() / 127 / 2
    assert np.abs(logits(quantized, images()) - logits(model, images())).max() <= allowed


def test_mixed_precision_is_left_behind() -> None:
    image, x = _normalized()
    half = layers.Conv2D(4, 1, dtype="mixed_float16", name="conv")
    x = layers.MaxPooling2D(2, dtype="mixed_float16", name="pool")(half(x))
    quantized = insert_quantizers(keras.Model(image, x))
    assert {layer.compute_dtype for layer in quantized.layers} == {"float32"}


def test_unknown_schemes_are_refused() -> None:
    assert scheme.find("int8") is scheme.INT8
    with pytest.raises(UsageError, match=r"scheme='int4'.*choose from int8"):
        scheme.find("int4")


def test_deploying_needs_quantizers() -> None:
    with pytest.raises(UsageError, match="net holds no quantizers; quantize it first"):
        deploy_graph(net(_conv))


def test_the_deploy_graph_gives_the_same_values_from_plain_layers() -> None:
    def body(x: Any) -> Any:
        one = layers.ReLU(6)(layers.BatchNormalization()(_conv(x, name="one")))
        other = layers.UpSampling2D(2)(layers.DepthwiseConv2D(3, strides=2, padding="same", name="other")(x))
        return _conv(layers.Concatenate()([one, other]), name="last")

    quantized = calibrated(net(body))
    deployed = deploy_graph(quantized)
    # Convolution sums in another order; a sum near a tie may fall to the other side: one step, rarely.
    low, high = quantized.get_layer("last_quant").get_range()
    difference = np.abs(logits(deployed, images()) - logits(quantized, images())) / ((high - low) / 255)
    assert difference.max() <= 1.01
    assert np.mean(difference > 0.01) < 0.01
    kinds = {type(layer) for layer in deployed.layers}
    assert layers.Conv2D in kinds
    assert QuantConv2D not in kinds
    assert all(layer.fixed_range for layer in deployed.layers if isinstance(layer, FakeQuant))
    shared = [layer.get_range() for layer in deployed.layers if layer.name.endswith("_shared_quant")]
    assert len(shared) == 2
    assert len(set(shared)) == 1


def test_deployed_weights_lie_on_their_grid() -> None:
    quantized = calibrated(net(lambda x: layers.BatchNormalization()(layers.Conv2D(6, 3, name="conv")(x))))
    kernel = deploy_graph(quantized).get_layer("conv").kernel
    levels = np.asarray(kernel) / (np.abs(np.asarray(kernel)).max((0, 1, 2)) / 127)
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)
    assert np.abs(levels).max() == pytest.approx(127)
