"""The rewrite as a whole: what it refuses, by name and with the way out, and what it leaves alone."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import Body, calibrated, images, logits, net

from mobile_seg.errors import UnsupportedLayerError, UsageError
from mobile_seg.graph import view
from mobile_seg.layers import SpaceToDepth
from mobile_seg.quantization import limits, scheme
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.linear_layers import QuantConv2D
from mobile_seg.quantization.rewrite import insert_quantizers, is_quantized, units


def _conv(x: Any, **options: Any) -> Any:
    return layers.Conv2D(4, 1, **options)(x)


def _normalized(shape: tuple[int, ...] = (8, 8, 3)) -> tuple[Any, Any]:
    image = keras.Input(shape, name="image")
    return image, layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)


REFUSED: dict[str, tuple[Body, str]] = {
    "known_layer": (lambda x: layers.PReLU(name="odd")(_conv(x)), "odd (PReLU)"),
    "known_layer: leaky": (lambda x: layers.ReLU(negative_slope=0.1, name="odd")(_conv(x)), "odd (ReLU)"),
    "known_layer: gelu": (lambda x: layers.Activation("gelu", name="odd")(_conv(x)), "odd (Activation)"),
    "last_channel": (
        lambda x: layers.MaxPooling2D(2, data_format="channels_first", name="odd")(_conv(x)),
        "odd (MaxPooling2D)",
    ),
    "plain_upsampling": (
        lambda x: layers.UpSampling2D(2, interpolation="bicubic", name="odd")(_conv(x)),
        "odd (UpSampling2D)",
    ),
    "one_group": (lambda x: layers.Conv2D(4, 1, groups=2, name="odd")(_conv(x)), "odd (Conv2D)"),
    "joined_channels": (lambda x: layers.Concatenate(1, name="odd")([_conv(x), _conv(x)]), "odd (Concatenate)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_int8_cannot_run_is_refused_by_name(case: str) -> None:
    body, named = REFUSED[case]
    limit = getattr(limits, case.partition(":")[0])
    with pytest.raises(UnsupportedLayerError) as caught:
        insert_quantizers(net(body))
    assert str(caught.value) == f"layer {named} cannot be quantized. {limit.__doc__}"


@pytest.mark.parametrize("limit", limits.LIMITS, ids=lambda limit: limit.__name__)
def test_each_limit_is_one_sentence_with_the_way_out(limit: limits.Limit) -> None:
    assert limit.__doc__
    assert "\n" not in limit.__doc__
    assert limit.__doc__.endswith(".")
    assert ";" in limit.__doc__, "the cause; what to do"


def test_each_limit_is_tried() -> None:
    tried = {case.partition(":")[0] for case in REFUSED}
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
    kernel, _ = next(layer for layer in quantized.layers if isinstance(layer, QuantConv2D)).quantized()
    allowed = (high - low) / 255 + 3 * np.abs(np.asarray(kernel)).max() / 127 / 2
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


def test_the_deploy_graph_gives_the_same_values_from_constants() -> None:
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
    assert all(layer.baked and not layer.batch_norm for layer in deployed.layers if isinstance(layer, QuantLinear))
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


def _unit_net() -> keras.Model:
    def body(x: Any) -> Any:
        x = layers.ReLU(6, name="act")(layers.BatchNormalization(name="bn")(_conv(x, name="conv")))
        y = layers.Add(name="sum")([x, _conv(x, name="side")])
        return _conv(layers.GlobalAveragePooling2D(keepdims=True, name="mean")(y), name="last")

    return net(body)


def test_a_unit_is_a_layer_and_all_that_is_fused_with_it() -> None:
    assert units(view(_unit_net())) == {
        "act": ("conv", "bn", "act"),
        "side": ("side",),
        "sum": ("sum",),
        "mean": ("mean",),
        "last": ("last",),
    }


@pytest.mark.parametrize("named", ["conv", "bn", "act"])
def test_any_member_names_its_unit(named: str) -> None:
    raised = insert_quantizers(_unit_net(), keep={named: "int16x8"})
    bits = {layer.name: layer.bits for layer in raised.layers if isinstance(layer, FakeQuant)}
    assert [name for name, width in bits.items() if width == 16] == ["act_quant"]
    kept = insert_quantizers(_unit_net(), keep={named: "float"})
    grids = {layer.name: layer.weights_grid for layer in kept.layers if isinstance(layer, QuantLinear)}
    assert grids == {"conv": "float32", "side": "int8", "last": "int8"}


def test_a_last_layer_kept_in_float_gives_floats() -> None:
    kept = insert_quantizers(_unit_net(), keep={"last": "float"})
    assert kept.layers[-1].name == "last"


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ({"nothing": "float"}, "keep names nothing, which is no layer"),
        ({"sum": "float"}, "leaves sum in float, which has no weights; raise it to int16x8"),
        ({"conv": "int4"}, r"keep\['conv'\]='int4'.*float, int16x8"),
    ],
)
def test_what_cannot_be_kept_is_refused(keep: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        insert_quantizers(_unit_net(), keep=keep)


@pytest.mark.parametrize("name", scheme.SCHEMES)
def test_every_scheme_gives_its_widths(name: str) -> None:
    wanted = scheme.find(name)
    quantized = insert_quantizers(_unit_net(), scheme=wanted)
    bits = {layer.bits for layer in quantized.layers if isinstance(layer, FakeQuant) and layer.observes}
    assert bits == (set() if wanted.activation_bits is None else {wanted.activation_bits})
    assert {layer.weights_grid for layer in quantized.layers if isinstance(layer, QuantLinear)} == {wanted.weights}
    assert is_quantized(quantized)
    assert quantized.name == f"net_{name.replace('-', '_')}_qat"


def _with_narrow_kernels() -> keras.Model:
    """A convolution that space-to-depth reads, through a copy too."""

    def body(x: Any) -> Any:
        x = layers.Dropout(0.5, name="copy")(_conv(x, name="one"))
        x = _conv(SpaceToDepth(2, name="pack")(x), name="two")
        return _conv(SpaceToDepth(2, name="fold")(x), name="last")

    return net(body)


@pytest.mark.parametrize(("named", "only"), [("one", "pack"), ("two", "fold")])
def test_16_bits_next_to_a_kernel_of_8_are_refused(named: str, only: str) -> None:
    with pytest.raises(UsageError, match=f"keep gives {named} 16 bits, but {only} has a kernel of 8 bits only"):
        insert_quantizers(_with_narrow_kernels(), keep={named: "int16x8"})
    insert_quantizers(_with_narrow_kernels(), keep={"last": "int16x8"})


@pytest.mark.parametrize(
    ("scale", "offset", "moved", "limits"),
    [
        (1 / 128, -1.0, -1.0, (-1.0, 127 / 128)),
        (1 / 127.5, -1.0, -128 / 127.5, (-128 / 127.5, 1 - 0.5 / 127.5)),
        (1 / 255, 0.0, 0.0, (0.0, 1.0)),
        (1.0, 10.0, 10.0, (0.0, 265.0)),
    ],
)
def test_zero_in_the_image_is_a_whole_byte(
    scale: float, offset: float, moved: float, limits: tuple[float, float]
) -> None:
    image = keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, _conv(layers.Rescaling(scale, offset=offset, name="normalize")(image)))
    quantized = insert_quantizers(model)
    assert quantized.get_layer("normalize").offset == pytest.approx(moved)
    assert quantized.get_layer("normalize_quant").fixed_range == pytest.approx(limits)
    in_floats = insert_quantizers(model, scheme=scheme.find("w8"))
    assert in_floats.get_layer("normalize").offset == offset, "nothing is rounded there"


def test_every_byte_of_an_image_around_127_and_a_half_stays_one() -> None:
    image = keras.Input((16, 16, 1), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalize")(image)
    quantized = insert_quantizers(keras.Model(image, _conv(x)))
    shown = keras.Model(quantized.input, quantized.get_layer("normalize_quant").output)
    every = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1)
    assert len(np.unique(np.asarray(shown(every, training=False)))) == 256


def test_an_averaged_branch_keeps_a_range_of_its_own() -> None:
    def body(x: Any) -> Any:
        mean = layers.AveragePooling2D(2, name="mean")(_conv(x, name="averaged"))
        return layers.Concatenate(name="join")([mean, layers.MaxPooling2D(2, name="pool")(_conv(x, name="copied"))])

    names = {layer.name for layer in insert_quantizers(net(body)).layers if isinstance(layer, FakeQuant)}
    assert names == {"normalize_quant", "averaged_quant", "mean_quant", "join_quant"}
