"""SWideRNet against the paper's Table 1, its scaling against Table 4, and its wiring by hand."""

import re
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from mobile_seg.errors import UsageError
from mobile_seg.graph import GraphView, view
from mobile_seg.layers import SwitchableAtrousConv2D
from mobile_seg.models.cost import count
from mobile_seg.models.registry import build, names
from mobile_seg.models.swidernet import STAGES, SWideRNet
from mobile_seg.models.weightless import weightless

# Table 1 of arXiv:2011.11675, line by line: stage, the channels of a block's convolutions, blocks.
TABLE_1 = """
conv2 128,128 3
conv3 256,256 3
conv4 512,512 6
conv5 1024,1024 3
conv6 512,1024,2048 3
"""

# Table 4: w2, l, millions of parameters; every one with dense ASPP and decoder, on COCO.
TABLE_4 = [
    (1, 1, 168.77), (1.5, 1, 345.75), (2, 1, 587.35), (1, 2, 302.33), (1, 3, 435.90), (1, 4, 569.46),
    (1, 5, 703.03), (1, 5.5, 752.53), (1, 6, 836.59), (1.5, 2, 646.22), (1.5, 3, 946.69),
]  # fmt: skip

FAST = "swidernet_025_025_075"
SMALL: dict[str, Any] = {"input_size": (65, 97), "classes": 5, "head": "panoptic"}


def test_the_rows_are_those_of_the_paper() -> None:
    lines = [line.split() for line in TABLE_1.strip().splitlines()]
    found = [(stage.name, ",".join(map(str, stage.channels)), str(stage.blocks)) for stage in STAGES]
    assert found == [tuple(line) for line in lines]
    assert [stage.name for stage in STAGES if stage.strided] == ["conv3", "conv4", "conv5"]
    assert [stage.name for stage in STAGES if stage.entry] == ["conv2"]


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [(0.35, [3, 1, 2, 1, 1]), (0.75, [3, 2, 4, 2, 2]), (1, [3, 3, 6, 3, 3]), (4.5, [3, 13, 27, 13, 13])],
)
def test_depth_is_truncated(depth: float, blocks: list[int]) -> None:
    assert [SWideRNet(depth=depth).blocks(stage) for stage in STAGES] == blocks


def test_widths_are_truncated_and_the_entry_has_its_own() -> None:
    row = SWideRNet(width1=0.25, width2=0.35)
    assert [row.channels(stage) for stage in STAGES] == [(32, 32), (89, 89), (179, 179), (358, 358), (179, 358, 716)]


@pytest.mark.parametrize(
    ("width2", "depth", "published"),
    [pytest.param(*row, marks=[] if row[1] in (1, 5.5) else pytest.mark.slow) for row in TABLE_4],
)
def test_scaling_gives_the_parameters_of_table_4(width2: float, depth: float, published: float) -> None:
    with weightless():
        model = build(
            "swidernet_1_1_1", input_size=(641, 641), classes=134, head="panoptic", width2=width2, depth=depth
        )
        params = count(model).params
    assert params / 1e6 == pytest.approx(published, rel=2e-4)  # 0.02 M short throughout


def test_the_names_say_the_factors() -> None:
    ours = [name for name in names() if "swidernet" in name or "wide_resnet" in name]
    assert ours == [
        "swidernet_025_025_075", "swidernet_025_035_075", "swidernet_025_035_1", "swidernet_025_05_1",
        "swidernet_025_075_1", "swidernet_1_1_1", "swidernet_1_1_45", "wide_resnet_41",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> GraphView:
    """A fast variant at a rectangular size."""
    return view(build(FAST, **SMALL))


def _shape(graph: GraphView, name: str) -> tuple[int, ...]:
    return tuple(graph.layers[name].output.shape[1:])


def test_resolutions_change_in_the_last_block_of_a_stage(graph: GraphView) -> None:
    assert _shape(graph, "conv1_entry_act") == (33, 49, 16)
    assert _shape(graph, "conv2r3_act") == (33, 49, 32)
    assert _shape(graph, "conv2_pool") == (17, 25, 32)
    assert _shape(graph, "conv3_act") == (17, 25, 64)
    assert _shape(graph, "conv3r2_first_act") == (17, 25, 64)
    assert _shape(graph, "conv3r2_act") == (9, 13, 64)
    assert _shape(graph, "conv4r3_act") == (9, 13, 128)
    assert _shape(graph, "conv4r4_act") == (5, 7, 128)
    assert _shape(graph, "conv5r2_act") == (5, 7, 256), "at output stride 16"
    assert _shape(graph, "conv6r2_act") == (5, 7, 512)


def test_the_second_convolution_strides_and_the_shortcut_drops_pixels(graph: GraphView) -> None:
    assert graph.layers["conv4r4_first_conv"].strides == (1, 1)
    assert graph.layers["conv4r4_second_conv"].strides == (2, 2)
    shortcut = graph.layers["conv4r4_shortcut_pool"]
    assert (shortcut.pool_size, shortcut.strides) == ((1, 1), (2, 2))
    assert graph.inputs["conv4r4_residual"] == ("conv4r4_shortcut_pool", "conv4r4_drop")
    assert graph.inputs["conv4r2_residual"] == ("conv4_act", "conv4r2_drop")
    assert graph.inputs["conv4_residual"] == ("conv4_shortcut_bn", "conv4_drop"), "the channels change"
    projections = {name for name in graph.layers if name.endswith("_shortcut_conv")}
    assert projections == {f"conv{stage}_shortcut_conv" for stage in (2, 3, 4, 5, 6)}


def test_a_shortcut_that_drops_pixels_keeps_every_other() -> None:
    pool = layers.MaxPooling2D(1, strides=2, padding="same")
    pixels = np.arange(35, dtype=np.float32).reshape(1, 5, 7, 1)
    np.testing.assert_array_equal(pool(pixels), pixels[:, ::2, ::2])


def test_a_block_is_excited_dropped_and_activated(graph: GraphView) -> None:
    assert graph.inputs["conv3_excite"] == ("conv3_second_bn", "conv3_excite_act")
    assert graph.inputs["conv3_drop"] == ("conv3_excite",)
    assert graph.layers["conv3_excite_conv"].kernel.shape == (1, 1, 64, 64)
    assert graph.layers["conv3_excite_conv"].use_bias
    assert graph.layers["conv3_excite_act"].activation.__name__ == "hard_sigmoid"
    assert graph.only_consumer("conv3_residual") == "conv3_act"
    excited = {name.split("_")[0].split("r")[0] for name in graph.layers if name.endswith("_excite")}
    assert excited == {"conv3", "conv4", "conv5", "conv6"}


def test_every_block_is_dropped_alike_and_starts_as_its_shortcut(graph: GraphView) -> None:
    drops = [layer for name, layer in graph.layers.items() if name.endswith("_drop") and name.startswith("conv")]
    assert len(drops) == 3 + 2 + 4 + 2 + 2
    assert {(drop.rate, drop.noise_shape) for drop in drops} == {(0.2, (None, 1, 1, 1))}
    for name, layer in graph.layers.items():
        if isinstance(layer, layers.BatchNormalization):
            last = re.search(r"_(second|widen)_bn$", name) is not None
            assert float(np.max(layer.gamma)) == (0.0 if last else 1.0), name


def test_the_switch_blends_two_rates_with_context_around(graph: GraphView) -> None:
    assert graph.inputs["conv6_before_context"] == ("conv6_reduce_act", "conv6_before_conv")
    assert graph.inputs["conv6_mix_conv"] == ("conv6_before_context", "conv6_switch_conv")
    assert graph.only_input("conv6_switch_mean") == "conv6_before_context"
    assert graph.inputs["conv6_after_context"] == ("conv6_mix_conv", "conv6_after_conv")
    assert graph.only_input("conv6_mix_bn") == "conv6_after_context"
    mean = graph.layers["conv6_switch_mean"]
    assert (mean.pool_size, mean.strides, mean.padding) == ((5, 5), (1, 1), "same")
    assert _shape(graph, "conv6_switch_conv") == (5, 7, 1)
    assert _shape(graph, "conv6_mix_conv") == (5, 7, 256)
    for role in ("before", "switch", "after"):
        assert not np.any(graph.layers[f"conv6_{role}_conv"].kernel), "as a plain convolution"


@pytest.mark.parametrize(("output_stride", "rates", "size"), [(16, (2, 6), (5, 7)), (32, (1, 3), (3, 4))])
def test_the_output_stride_moves_the_rates(output_stride: int, rates: tuple[int, int], size: tuple[int, int]) -> None:
    found = view(build(FAST, **SMALL, output_stride=output_stride))
    switched = [layer for layer in found.layers.values() if isinstance(layer, SwitchableAtrousConv2D)]
    assert {layer.rates for layer in switched} == {rates}
    assert _shape(found, "conv6r2_act") == (*size, 512)
    assert found.layers["conv5r2_second_conv"].strides == (output_stride // 16, output_stride // 16)
    assert ("conv5r2_shortcut_pool" in found.layers) is (output_stride == 32)
    assert found.layers["conv5r2_second_conv"].dilation_rate == (1, 1)


def test_wide_resnet_41_has_neither_switch_nor_gate() -> None:
    found = view(build("wide_resnet_41", **SMALL, width1=0.25, width2=0.25))
    assert not [name for name in found.layers if re.search("excite|switch|context", name)]
    assert found.layers["conv6_mix_conv"].dilation_rate == (2, 2)
    convolutions = [name for name in found.layers if re.match(r"conv\d.*_conv$", name) and "shortcut" not in name]
    assert len(convolutions) == 40, "with the classifier 41"


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (5, 7, 5)),
        ({"input_size": (64, 128)}, (4, 8, 5)),
        ({"output_stride": 32, "aspp_rates": (3, 6, 9)}, (3, 4, 5)),
        ({"depth": 0.35}, (5, 7, 5)),
    ],
    ids=str,
)
def test_the_semantic_head(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = build(FAST, **{**SMALL, "head": "deeplabv3", **options})
    assert model.output_shape == (None, *shape)


def test_a_stage_of_one_block_leaves_the_decoder_the_entry() -> None:
    found = view(build(FAST, **SMALL, depth=0.35))
    assert found.only_input("semantic4_tap_conv") == "conv2_pool"
    assert found.only_input("semantic8_tap_conv") == "conv4_act"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width1": 0}, "width1=0, width2=0.25: both must be above 0"),
        ({"width2": -1}, "width2=-1: both must be above 0"),
        ({"depth": 0.3}, "depth=0.3 leaves a stage without a block; give 1/3 or more"),
        ({"drop_path": 1.0}, "drop_path=1.0: give a share from 0"),
        ({"output_stride": 8}, r"output_stride=8 is not offered; choose from \(16, 32\)"),
        ({"input_size": (66, 97)}, "input size 66x97 .* multiples of 16, or one more"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(FAST, **{**SMALL, **options})


def test_without_drop_path_there_is_no_layer_for_it() -> None:
    model: keras.Model = build(FAST, **SMALL, drop_path=0.0)
    assert not [layer.name for layer in model.layers if re.match(r"conv.*_drop$", layer.name)]
