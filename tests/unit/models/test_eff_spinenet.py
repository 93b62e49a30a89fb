"""Eff-SpineNet against Tables 1 and 2 of its paper, written down here a second time; SpineNet's own MBConv networks."""

import re
from typing import Any

import keras
import pytest
from keras import layers

from mobile_seg.errors import UsageError
from mobile_seg.graph import view
from mobile_seg.layers import SpaceToDepth, WeightedSum
from mobile_seg.models.cost import count
from mobile_seg.models.eff_spinenet import STEM_BLOCKS, MBConvSpineNet
from mobile_seg.models.registry import build, find
from mobile_seg.models.scale_permuted import MBCONV_49
from mobile_seg.models.weightless import weightless

# Table 1: block, level, width in SP-EfficientNet-B0, width in Eff-SpineNet-D0.
TABLE_1 = """
1 L1 16 16
2 L2 24 24
3 L2 24 16
4 L2 24 16
5 L4 96 104
6 L3 40 48
7 L4 96 120
8 L6 152 40
9 L4 96 120
10 L5 152 168
11 L7 152 96
12 L5 152 192
13 L5 152 136
14 L4 96 104
15 L3 40 40
16 L5 152 136
17 L7 152 136
18 L6 152 40
"""
# Table 2: input size, multiplier, repeats, width and depth of the subnets.
ONCE, TWICE = "1" * 18, "221122211212111111"
TABLE_2 = {
    "m0": (256, 0.4, ONCE, 24),
    "m1": (384, 0.5, ONCE, 40),
    "m2": (384, 0.8, ONCE, 64),
    "d0": (512, 1.0, ONCE, 64),
    "d1": (640, 1.0, TWICE, 88),
    "d2": (768, 1.1, TWICE, 112),
}
# Appendix A of arXiv:1912.05027.
MBCONV_WIDTHS = {1: 16, 2: 24, 3: 40, 4: 80, 5: 112, 6: 112, 7: 112}
LINES = [line.split() for line in TABLE_1.strip().splitlines()]
LEVELS = [int(level[1:]) for _, level, _, _ in LINES]
SMALL: dict[str, Any] = {"input_size": (128, 256), "classes": 5}


def _row(name: str, **options: Any) -> MBConvSpineNet:
    return MBConvSpineNet(**{**find(name).row, **options})


def test_levels_and_widths_are_those_of_table_1() -> None:
    assert [block.level for block in (*STEM_BLOCKS, *MBCONV_49.values())] == LEVELS
    assert _row("sp_efficientnet_b0").widths == tuple(int(width) for _, _, width, _ in LINES)
    assert _row("eff_spinenet_d0").widths == tuple(int(width) for _, _, _, width in LINES)
    assert _row("spinenet_mbconv_49").widths == tuple(MBCONV_WIDTHS[level] for level in LEVELS)


@pytest.mark.parametrize("name", TABLE_2)
def test_the_scaling_is_that_of_table_2(name: str) -> None:
    size, multiplier, repeats, subnet = TABLE_2[name]
    entry, row = find(f"eff_spinenet_{name}"), _row(f"eff_spinenet_{name}")
    assert (row.scale, "".join(map(str, row.repeats))) == (multiplier, repeats)
    assert row.weighted_fusion
    assert row.space_to_depth
    for head in ("retinanet", "pyramid_fusion"):
        options = {"pyramid_width": subnet, "subnet_convs": 3, "separable_head": True}
        assert entry.head_options[head] == options
    assert entry.head_options["classification"] == {"pyramid_width": 256}
    assert entry.published[0].input_size == (size, size)


@pytest.mark.parametrize(
    ("scale", "divisor", "widths"),
    [
        (0.4, 1, (6, 9, 6, 6, 41, 19, 48, 16, 48, 67, 38, 76, 54, 41, 16, 54, 54, 16)),
        (0.4, 8, (8, 16, 8, 8, 40, 24, 48, 16, 48, 64, 40, 80, 56, 40, 16, 56, 56, 16)),
        (1.1, 1, (17, 26, 17, 17, 114, 52, 132, 44, 132, 184, 105, 211, 149, 114, 44, 149, 149, 44)),
    ],
)
def test_widths_are_truncated_or_rounded(scale: float, divisor: int, widths: tuple[int, ...]) -> None:
    row = _row("eff_spinenet_d0", scale=scale, divisor=divisor)
    assert tuple(row.scaled(width) for width in row.widths) == widths


def test_spinenets_own_widths_are_truncated_as_its_code_does() -> None:
    small, smaller = _row("spinenet_mbconv_49s"), _row("spinenet_mbconv_49xs")
    levels = (8, 16, 24, 40, 80, 112)
    assert [small.scaled(width) for width in levels] == [5, 10, 15, 26, 52, 72]
    assert [smaller.scaled(width) for width in levels] == [4, 9, 14, 24, 48, 67]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """D0 made narrow, at a rectangular size."""
    return build("eff_spinenet_d0", **SMALL, scale=0.5, pyramid_width=16, subnet_convs=1)


def test_blocks_read_what_the_table_says(model: keras.Model) -> None:
    graph = view(model)
    for number, block in MBCONV_49.items():
        name = f"b{number:02d}"
        sources = [_block_before(graph, tensor, name) for tensor in graph.inputs[f"{name}_merge"]]
        assert sources == [f"b{source:02d}" for source in block.inputs]
        project = graph.layers[f"{name}_project_conv"]
        width = int(int(LINES[number][3]) * 0.5)
        assert project.output.shape == (None, 128 // 2**block.level, 256 // 2**block.level, width)


def test_the_block_that_nobody_reads_joins_the_output_of_its_level(model: keras.Model) -> None:
    graph = view(model)
    joins = {name: inputs for name, inputs in graph.inputs.items() if "_join" in name}
    assert joins == {"b15_join0": ("b15_merge", "b12_residual")}
    assert graph.inputs["b15_merge_act"] == ("b15_join0",)


def _block_before(graph: Any, name: str, block: str) -> str:
    """Walk back from a tensor inside `block` to the block whose output it came from."""
    while name.startswith(f"{block}_"):
        name = graph.only_input(name)
    return name.partition("_")[0]


def test_going_down_moves_pixels_into_channels_first(model: keras.Model) -> None:
    graph = view(model)
    # B5 (L3) reads B3 (L2, 8 wide): one halving, and 4 times 8 channels straight into the 1x1.
    assert graph.inputs["b05_from03_match_conv"] == ("b05_from03_depth",)
    assert isinstance(graph.layers["b05_from03_depth"], SpaceToDepth)
    assert graph.layers["b05_from03_depth"].output.shape == (None, 16, 32, 32)
    # B16 (L7) reads B6 (L4, 60 wide): three halvings, the last two by depthwise convolutions on 240 channels.
    assert graph.layers["b16_from06_down1_depthwise"].output.shape == (None, 2, 4, 240)
    assert graph.inputs["b16_from06_match_conv"] == ("b16_from06_down2_act",)
    assert "b16_from06_down0_depthwise" not in graph.layers
    # B14 (L3) reads B11 (L5): four times up, nearest.
    up = graph.layers["b14_from11_up"]
    assert (up.size, up.interpolation) == ((4, 4), "nearest")


def test_the_switches_change_what_they_name_alone(model: keras.Model) -> None:
    plain = build("eff_spinenet_d0", **SMALL, scale=0.5, pyramid_width=16, space_to_depth=False, weighted_fusion=False)
    for made, kinds in ((model, (SpaceToDepth, WeightedSum)), (plain, (layers.Add, layers.Add))):
        merges = [layer for layer in made.layers if layer.name.endswith("_merge")]
        assert len(merges) == 16
        assert {type(layer) for layer in merges} == {kinds[1]}
        assert any(isinstance(layer, SpaceToDepth) for layer in made.layers) == (kinds[0] is SpaceToDepth)
    assert view(plain).layers["b16_from06_down0_depthwise"].strides == (2, 2)


def test_an_mbconv_expands_by_6_and_squeezes_by_its_input(model: keras.Model) -> None:
    graph = view(model)
    assert graph.layers["stem_entry_conv"].filters == 8
    # B0 reads the 8 of the stem, B1 the 8 of B0; B12 and B15 their own 68.
    for block, channels in (("b00", 8), ("b01", 8), ("b12", 68), ("b15", 68)):
        assert graph.layers[f"{block}_expand_conv"].filters == 6 * channels
        assert graph.layers[f"{block}_squeeze_conv"].filters == int(0.2 * channels)
    assert graph.layers["b12_squeeze_act"].activation.__name__ == "silu"
    assert graph.layers["b12_excite_act"].activation.__name__ == "sigmoid"
    assert graph.layers["b12_mix_depthwise"].kernel_size == (3, 3)


def test_repeats_stand_in_series_and_only_the_first_strides() -> None:
    with weightless():
        graph = view(build("eff_spinenet_d1", input_size=(64, 64), classes=2, scale=0.1, pyramid_width=8))
    blocks = {name.partition("_")[0] for name in graph.layers}
    twice = {f"b{number:02d}r2" for number, repeat in enumerate(TWICE) if repeat == "2"}
    assert {block for block in blocks if "r2" in block} == twice
    assert graph.layers["b01_mix_depthwise"].strides == (2, 2)
    assert graph.layers["b01r2_mix_depthwise"].strides == (1, 1)
    assert graph.only_input("b01r2_expand_conv") == "b01_project_bn"
    assert graph.only_input("b03_from01_match_conv") == "b01r2_residual"


def test_every_layer_has_a_name_that_says_its_block(model: keras.Model) -> None:
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.match(r"image$|(stem|b\d\d|p\d|fusion|head)_[a-z0-9_]+$", name)] == []


@pytest.mark.parametrize("size", [(8, 8), (72, 104), (128, 128), (512, 384)], ids=str)
def test_any_multiple_of_8_is_taken(size: tuple[int, int]) -> None:
    made = build("eff_spinenet_m0", input_size=size, classes=3, scale=0.1, pyramid_width=8, subnet_convs=0)
    assert made.output_shape == (None, size[0] // 8, size[1] // 8, 3)
    evened = [layer for layer in made.layers if isinstance(layer, layers.ZeroPadding2D)]
    assert bool(evened) == any(side % 128 for side in size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (8, 8)}, r"widths=\(8, 8\): give a positive number for each of the 18 blocks"),
        ({"repeats": [0] * 18}, "repeats=.*: give a positive number"),
        ({"divisor": 0}, "divisor=0: give 1"),
        ({"gate": "relu"}, "gate='relu' is not known; choose from sigmoid, hard_sigmoid"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build("eff_spinenet_m0", **SMALL, **options)


def test_an_independent_counter_agrees() -> None:
    # Counted apart from any graph, from the tables and the sizes alone.
    options: dict[str, Any] = {"head": "classification", "space_to_depth": False}
    with weightless():
        detector = count(build("eff_spinenet_d0", input_size=(512, 512), classes=90, head="retinanet"))
        classifier = count(build("eff_spinenet_d2", input_size=(256, 256), classes=1000, **options))
    assert (round(detector.params / 1e6, 2), round(detector.macs / 1e9, 2)) == (3.73, 2.53)
    assert (round(classifier.params / 1e6, 2), round(classifier.macs / 1e9, 3)) == (5.88, 0.903)
