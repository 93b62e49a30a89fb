"""MobileNetV2, MobileNetV3-Large and ResNet-50 against keras.applications, their papers' tables and each other."""

import re
from collections import Counter
from typing import Any

import keras
import pytest
from keras import layers

from mobile_seg.errors import UsageError
from mobile_seg.graph import view
from mobile_seg.models import registry
from mobile_seg.models.blocks import divisible
from mobile_seg.models.cost import count
from mobile_seg.models.mobilenet_v2 import MobileNetV2
from mobile_seg.models.registry import find
from mobile_seg.models.resnet import ResNet
from mobile_seg.models.weightless import weightless

SMALL: dict[str, Any] = {"input_size": (64, 96), "classes": 3}
CLASSIFIER: dict[str, Any] = {"input_size": (64, 64), "classes": 1000, "head": "classification", "output_stride": 32}


def build(name: str, **options: Any) -> keras.Model:
    """The network, its shapes and names alone: no test here needs a number."""
    with weightless():
        return registry.build(name, **options)


def _kernels(model: keras.Model, *, but: tuple[str, ...] = ()) -> Counter[tuple[str, tuple[int, ...], int]]:
    """How often each kind of convolution stands there: layer type, kernel, stride."""
    return Counter(
        (type(layer).__name__, tuple(layer.kernel.shape), layer.strides[0])
        for layer in model.layers
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)) and not layer.name.startswith(but)
    )


def test_mobilenet_v2_is_that_of_keras() -> None:
    with weightless():
        theirs = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), classifier_activation=None)
    ours = build("mobilenet_v2", **CLASSIFIER, final_width=1280)
    assert _kernels(ours) == _kernels(theirs)
    assert count(ours).params == 3_504_872, "as torchvision lists it"


def test_mobilenet_v3_is_that_of_keras() -> None:
    with weightless():
        theirs = keras.applications.MobileNetV3Large(weights=None, input_shape=(64, 64, 3), include_top=False)
    ours = build("mobilenet_v3_large", **CLASSIFIER, reduced_tail=False)
    assert _kernels(ours) == _kernels(theirs)
    # The paper's classifier has a 1280-wide layer before the logits, which the generic head leaves out.
    layer, logits = 960 * 1280 + 1280, 1280 * 1000 + 1000
    assert count(ours).params - (960 * 1000 + 1000) + layer + logits == 5_483_032, "as torchvision lists it"


def test_resnet_50_is_that_of_keras_but_for_where_it_strides() -> None:
    with weightless():
        theirs = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), include_top=False)
    ours = build("resnet_50", **CLASSIFIER)
    shapes = [Counter((name, shape) for name, shape, _ in _kernels(model).elements()) for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    strided = sorted(shape for _, shape, stride in _kernels(ours).elements() if stride == 2)
    assert strided == sorted(
        [(7, 7, 3, 64)]
        + [(3, 3, width, width) for width in (128, 256, 512)]
        + [(1, 1, 2 * width, 4 * width) for width in (128, 256, 512)]
    )
    assert count(ours).params == 25_557_032, "as torchvision lists it"


def test_half_a_mobilenet_v2_has_the_widths_of_the_one_released_for_deeplab() -> None:
    ours = build("mobilenet_v2_050", input_size=(64, 64), classes=21)
    graph = view(ours)
    widths = [layer.filters for name, layer in graph.layers.items() if name.endswith("project_conv")]
    # Read off the Edge TPU's deeplabv3_mnv2_dm05_pascal file, layer by layer; its ASPP projects to 256.
    assert widths == [8, 12, 12, *[16] * 3, *[32] * 4, *[48] * 3, *[80] * 3, 160, 256]
    assert graph.layers["stem_entry_conv"].filters == 16
    rounded = build("mobilenet_v2_050", input_size=(64, 64), classes=21, divisor=8)
    assert view(rounded).layers["b01_project_conv"].filters == 16


@pytest.mark.parametrize(
    ("channels", "divisor", "width"), [(18, 8, 24), (30, 8, 32), (3, 8, 8), (12, 1, 12), (44.8, 8, 48), (11.2, 8, 16)]
)
def test_widths_are_rounded_but_never_by_more_than_a_tenth_down(channels: float, divisor: int, width: int) -> None:
    assert divisible(channels, divisor) == width


@pytest.mark.parametrize(
    ("output_stride", "dilations"),
    [
        (32, {}),
        (16, {14: 2, 15: 2, 16: 2}),
        (8, {7: 2, 8: 2, 9: 2, 10: 2, 11: 2, 12: 2, 13: 2, 14: 4, 15: 4, 16: 4}),
    ],
)
def test_a_mobilenet_ends_at_the_output_stride(output_stride: int, dilations: dict[int, int]) -> None:
    model = build("mobilenet_v2", **SMALL, output_stride=output_stride)
    graph = view(model)
    found = {
        number: graph.layers[f"b{number:02d}_mix_depthwise"].dilation_rate[0]
        for number in range(17)
        if graph.layers[f"b{number:02d}_mix_depthwise"].dilation_rate != (1, 1)
    }
    assert found == dilations
    assert model.output_shape == (None, 64 // output_stride, 96 // output_stride, 3)


def test_blocks_of_mobilenet_v3_by_hand() -> None:
    graph = view(build("mobilenet_v3_large", **SMALL))
    activations = {name: layer.activation.__name__ for name, layer in graph.layers.items() if name.endswith("_act")}
    # Table 1: RE in the first six blocks, HS from the seventh on; squeeze-and-excite in 4-6 and 11-15.
    assert {activations[f"b{number:02d}_mix_act"] for number in range(6)} == {"relu"}
    assert {activations[f"b{number:02d}_mix_act"] for number in range(6, 15)} == {"hard_silu"}
    assert activations["stem_entry_act"] == activations["final_widen_act"] == "hard_silu"
    assert activations["lraspp_point_act"] == "relu"
    squeezed = {int(name[1:3]) for name in graph.layers if name.endswith("squeeze_conv")}
    assert squeezed == {3, 4, 5, 10, 11, 12, 13, 14}
    assert graph.layers["b03_squeeze_conv"].filters == 24
    assert activations["b03_excite_act"] == "hard_sigmoid"
    # RF2: from the last halving on everything is half as wide.
    tail = [graph.layers[f"b{number}_{role}_conv"].filters for number in (12, 13, 14) for role in ("expand", "project")]
    assert tail == [336, 80, 480, 80, 480, 80]
    assert graph.layers["final_widen_conv"].filters == 480
    assert graph.inputs["b04_residual"] == ("b03_project_bn", "b04_project_bn")


def test_the_hard_swish_can_be_replaced() -> None:
    model = build("mobilenet_v3_large", **SMALL, hard_activation="relu", lraspp_gate="sigmoid")
    used = {layer.activation.__name__ for layer in model.layers if isinstance(layer, layers.Activation)}
    assert used == {"relu", "hard_sigmoid", "sigmoid"}


@pytest.mark.parametrize(
    ("output_stride", "late", "strided", "dilations"),
    [
        (32, False, ["conv3b1", "conv4b1", "conv5b1"], {}),
        (16, False, ["conv3b1", "conv4b1"], {"conv5b1": 2, "conv5b2": 4, "conv5b3": 8}),
        (16, True, ["conv3b4", "conv4b6"], {"conv5b1": 2, "conv5b2": 4, "conv5b3": 8}),
        (
            8,
            False,
            ["conv3b1"],
            {**{f"conv4b{number}": 2 for number in range(1, 7)}, "conv5b1": 4, "conv5b2": 8, "conv5b3": 16},
        ),
    ],
)
def test_where_a_resnet_strides_and_dilates(
    output_stride: int, late: bool, strided: list[str], dilations: dict[str, int]
) -> None:
    model = build("resnet_50", **SMALL, output_stride=output_stride, late_stride=late, head="deeplabv3")
    mixes = {
        layer.name.partition("_")[0]: layer for layer in model.layers if re.match(r"conv\d.*_mix_conv$", layer.name)
    }
    assert len(mixes) == 16
    assert [name for name, layer in mixes.items() if layer.strides == (2, 2)] == strided
    assert {name: layer.dilation_rate[0] for name, layer in mixes.items() if layer.dilation_rate[0] > 1} == dilations


def test_the_resnet_of_spinenet_seg_repeats_its_last_stage() -> None:
    graph = view(build("resnet_50", **SMALL, late_stride=True, tail_repeats=3))
    for stage in ("conv5", "conv6", "conv7"):
        assert [graph.layers[f"{stage}b{number}_mix_conv"].dilation_rate[0] for number in (1, 2, 3)] == [2, 4, 8]
        assert f"{stage}b1_shortcut_conv" in graph.layers
        assert f"{stage}b2_shortcut_conv" not in graph.layers
    # A block that halves late keeps every second pixel of its input beside it.
    pool = graph.layers["conv3b4_shortcut_pool"]
    assert (pool.pool_size, pool.strides) == ((1, 1), (2, 2))
    assert graph.inputs["conv3b4_residual"] == ("conv3b4_shortcut_pool", "conv3b4_widen_bn")
    # The decoder's low-level features are the first stage's, at stride 4.
    assert graph.inputs["decoder_low_conv"] == ("conv2b3_act",)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v2_050", "mobilenet_v3_large", "resnet_50"])
def test_every_head_and_odd_size_is_built_and_named(name: str) -> None:
    for head in find(name).heads:
        for size in ((64, 96), (97, 65)):
            model = build(name, input_size=size, classes=5, head=head)
            names = [layer.name for layer in model.layers]
            assert len(set(names)) == len(names)
            assert [one for one in names if not re.match(r"image$|[a-z]+[0-9]*(b\d+)?_[a-z0-9_]+$", one)] == []
            stride = {"deeplabv3": 16, "deeplabv3plus": 4, "lraspp": 8}.get(head)
            expected = (None, *(-(-side // stride) for side in size), 5) if stride else (None, 5)
            assert model.output_shape == expected


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mobilenet_v2", {"width": 0.0}, "width=0.0 is not positive"),
        ("mobilenet_v2", {"divisor": 0}, "divisor=0; give 1 or more"),
        ("mobilenet_v2", {"final_width": -1}, "final_width=-1; give 0 for none"),
        ("mobilenet_v3_large", {"hard_activation": "gelu"}, "hard_activation='gelu' is not known"),
        ("resnet_50", {"multi_grid": (1, 2)}, r"multi_grid=\(1, 2\) must be 3 positive dilations"),
        ("resnet_50", {"multi_grid": (1, 0, 2)}, "must be 3 positive dilations"),
        ("resnet_50", {"tail_repeats": 0}, "tail_repeats=0: the last stage stands there at least once"),
        ("resnet_50", {"input_size": (48, 64)}, "multiples of 32, or one more"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, **{**SMALL, **options})


def test_records_take_lists_as_json_gives_them() -> None:
    grid: Any = [1, 2, 1]
    assert ResNet(multi_grid=grid) == ResNet(multi_grid=(1, 2, 1))
    assert MobileNetV2().channels(24) == 24
