"""Mobile SpineNet-Seg against the paper's Table 2, written down here a second time, and its counts."""

import re
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from mobile_seg.graph import view
from mobile_seg.models.cost import Cost, count
from mobile_seg.models.registry import build
from mobile_seg.models.spinenet_seg import S49_BLOCKS, MobileSpineNetSeg

# Table 2 of arXiv:2103.12270, line by line: block, level, long-range input, level adjustment, dilation, width.
TABLE_2 = """
B2 L3 B0 -1 1 64
B3 L4 B1 -1 2 128
B4 L3 B1 0 1 128
B5 L3 B2 0 1 128
B6 L6 B3 0 1 512
B7 L6 B5 -1 2 512
B8 L7 B4 0 1 512
B9 L7 B6 0 4 512
B10 L5 B6 0 1 512
B11 L5 B7 0 2 512
B12 L4 B8 0 4 256
B13 L4 B9 0 1 256
B14 L5 B11 0 4 512
B15 L4 B11 0 4 256
B16 L4 B12 0 1 256
B17 L2 B14 0 4 64
B18 L7 B16 -1 2 512
B19 L6 B15 0 1 512
B20 L4 B17 -1 4 128
B21 L3 B0 0 1 128
"""
WIDTH_LEVEL = {64: 2, 128: 3, 256: 4, 512: 5}
MOBILE_WIDTH = {1: 16, 2: 24, 3: 40, 4: 80, 5: 112}

CITYSCAPES = {"input_size": (1024, 2048), "classes": 19, "aspp_rates": (12, 24, 36, 72)}
FIT_A = {"head_convs": 3, "separable_head": False, "classifier_kernel": 1}
FIT_B = {"aspp_rates": (12, 24, 36), "endpoint_width": 256, "separable_aspp": False, "classifier_kernel": 1}


def test_the_rows_are_those_of_the_paper() -> None:
    lines = [line.split() for line in TABLE_2.strip().splitlines()]
    assert len(S49_BLOCKS) == len(lines) == 20
    for row, (block, level, far, adjustment, dilation, width) in zip(S49_BLOCKS, lines, strict=True):
        number = int(block[1:])
        effective = int(level[1:]) + int(adjustment)
        assert row.name == f"b{number:02d}"
        assert row.inputs == (number - 1, int(far[1:]))
        assert row.dilation == int(dilation)
        # Levels above 4 run at stride 16 (docs/decisions/0004), and their width is that of level 5.
        assert row.stride == min(2**effective, 16), block
        assert row.level == min(effective, 5) == WIDTH_LEVEL[int(width)], block


def test_the_allocation_of_blocks_is_that_of_section_3_2() -> None:
    levels = [int(line.split()[1][1:]) for line in TABLE_2.strip().splitlines()]
    assert {level: levels.count(level) for level in (2, 3, 4)} == {2: 1, 3: 4, 4: 6}
    assert sum(level >= 5 for level in levels) == 9


def _cost(name: str, **options: Any) -> Cost:
    return count(build(name, **options))


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("mobile_spinenet_s49", 2_640_387, 40_114_006_016),
        ("mobile_spinenet_s49_minus", 1_379_308, 25_061_882_368),
    ],
)
def test_the_literal_reading_has_these_counts(name: str, params: int, macs: int) -> None:
    cost = _cost(name, **CITYSCAPES)
    # An independent counter read 2.64 / 1.38 M and 40.0 / 25.0 B from the same text.
    assert cost.params / 1e6 == pytest.approx({"mobile_spinenet_s49": 2.64}.get(name, 1.38), abs=0.005)
    assert cost.macs / 1e9 == pytest.approx({"mobile_spinenet_s49": 40.1}.get(name, 25.05), abs=0.1)
    assert cost == Cost(params, macs)


@pytest.mark.parametrize(
    ("options", "params"),
    [(FIT_A, (4_408_579, 3_147_500)), (FIT_B, (4_419_619, 3_177_076))],
    ids=["fit A", "fit B"],
)
def test_the_fits_of_the_decision_page_have_these_counts(options: dict[str, Any], params: tuple[int, int]) -> None:
    small = {**CITYSCAPES, "input_size": (64, 64), **options}
    counts = [_cost(name, **small).params for name in ("mobile_spinenet_s49", "mobile_spinenet_s49_minus")]
    assert counts == list(params)
    # Published: 4.40 and 3.15 M, 1.25 M apart.
    assert [value / 1e6 for value in counts] == pytest.approx([4.40, 3.15], abs=0.03)
    assert (counts[0] - counts[1]) / 1e6 == pytest.approx(1.25, abs=0.012)


def test_the_voc_setting_has_the_reference_multiply_adds() -> None:
    voc = {"input_size": (512, 512), "classes": 21, "aspp_rates": (12, 24, 36)}
    assert round(_cost("mobile_spinenet_s49_minus", **voc).macs / 1e9, 1) == 2.8


def test_widths_are_truncated() -> None:
    assert [MobileSpineNetSeg(0.65).width(level) for level in range(6)] == [5, 10, 15, 26, 52, 72]
    assert [MobileSpineNetSeg(1.0).width(level) for level in range(6)] == [8, 16, 24, 40, 80, 112]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """The larger network at a rectangular size."""
    return build("mobile_spinenet_s49", input_size=(64, 96), classes=5, aspp_rates=(2, 4))


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"output_stride": 4, "image_pooling": False}, (16, 24, 5)),
        ({"output_stride": 16}, (4, 6, 5)),
        ({"input_size": (16, 16)}, (2, 2, 5)),
        ({"input_size": (48, 272)}, (6, 34, 5)),
        ({"classes": 150}, (8, 12, 150)),
    ],
    ids=str,
)
def test_output_shapes(options: dict[str, Any], shape: tuple[int, int, int]) -> None:
    base: dict[str, Any] = {"input_size": (64, 96), "classes": 5, "aspp_rates": (1, 2)}
    made = build("mobile_spinenet_s49_minus", **{**base, **options})
    assert made.output_shape == (None, *shape)


def test_only_the_last_block_follows_the_output_stride() -> None:
    built = [
        build("mobile_spinenet_s49_minus", input_size=(64, 64), classes=3, output_stride=stride) for stride in (4, 16)
    ]
    shapes = [{layer.name: layer.output.shape for layer in each.layers} for each in built]
    changed = {name for name in shapes[0].keys() & shapes[1].keys() if shapes[0][name] != shapes[1][name]}
    assert changed
    assert all(re.match(r"(b21|aspp|head)_", name) for name in changed)


def test_every_layer_has_a_name_that_says_its_block(model: keras.Model) -> None:
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.match(r"image$|(stem|b\d\d|aspp|head)_[a-z0-9_]+$", name)] == []
    blocks = {name.partition("_")[0] for name in names}
    assert blocks == {"image", "stem", "aspp", "head", *(f"b{number:02d}" for number in range(22))}


def test_blocks_read_what_the_table_says(model: keras.Model) -> None:
    graph = view(model)
    for row in S49_BLOCKS:
        merged = graph.inputs[f"{row.name}_merge"]
        sources = [_block_before(graph, tensor, row.name) for tensor in merged]
        assert sources == [f"b{number:02d}" for number in row.inputs]
        depthwise = graph.layers[f"{row.name}_mix_depthwise"]
        assert depthwise.dilation_rate == (row.dilation, row.dilation)
        width = MOBILE_WIDTH[row.level]
        assert depthwise.output.shape == (None, 64 // row.stride, 96 // row.stride, 6 * width)
        assert graph.layers[f"{row.name}_project_conv"].filters == width


def _block_before(graph: Any, name: str, block: str) -> str:
    """Walk back from a tensor inside `block` to the block whose output it came from."""
    while name.startswith(f"{block}_"):
        name = graph.only_input(name)
    return name.partition("_")[0]


def test_some_connections_by_hand(model: keras.Model) -> None:
    graph = view(model)
    # B17 (L2, stride 4) reads B16 and B14, both at stride 16: four times up, nearest, then 1x1 to 24 channels.
    for source in ("b16", "b14"):
        up = graph.layers[f"b17_from{source[1:]}_up"]
        assert (up.size, up.interpolation) == ((4, 4), "nearest")
        assert graph.layers[f"b17_from{source[1:]}_match_conv"].filters == 24
    # B6 (stride 16) reads B5 and B3, both at stride 8: one halving each.
    for source in ("05", "03"):
        assert graph.layers[f"b06_from{source}_down0_depthwise"].strides == (2, 2)
        assert f"b06_from{source}_down1_depthwise" not in graph.layers
    # B18 (stride 16) reads B17 at stride 4: two halvings.
    assert {"b18_from17_down0_depthwise", "b18_from17_down1_depthwise"} <= set(graph.layers)
    # B21, the output at stride 8, reads B20 at its own stride and B0 at stride 2: none and two halvings.
    assert graph.only_input("b21_from20_match_conv") == "b20_residual"
    assert {"b21_from00_down0_depthwise", "b21_from00_down1_depthwise"} <= set(graph.layers)
    # B1 doubles B0's stride and so has no residual; everything from B2 on has one.
    assert "b01_residual" not in graph.layers
    assert {f"b{number:02d}_residual" for number in range(2, 22)} <= set(graph.layers)


def test_a_merge_is_linear_then_summed_then_activated(model: keras.Model) -> None:
    graph = view(model)
    assert graph.inputs["b13_merge"] == ("b13_from12_match_bn", "b13_from09_match_bn")
    assert graph.only_consumer("b13_merge") == "b13_merge_act"
    assert isinstance(graph.layers["b13_merge"], layers.Add)
    assert graph.layers["b13_merge_act"].activation.__name__ == "relu6"
    assert graph.inputs["b13_residual"] == ("b13_merge_act", "b13_project_bn")


def test_the_head_has_its_branches(model: keras.Model) -> None:
    graph = view(model)
    assert graph.inputs["aspp_concat"] == (
        "aspp_point_act", "aspp_rate2_point_act", "aspp_rate4_point_act", "aspp_pool_up",
    )  # fmt: skip
    assert graph.layers["aspp_rate4_spatial_depthwise"].dilation_rate == (4, 4)
    assert graph.layers["aspp_project_conv"].filters == 256
    assert graph.inputs["head_logits"] == ("head_classify_spatial_act",)
    assert graph.outputs == ("head_logits",)


def test_bytes_are_normalized_onto_whole_steps(model: keras.Model) -> None:
    stem = keras.Model(model.input, model.get_layer("stem_normalize").output)
    pixels = np.arange(256, dtype=np.float32)[:64, None, None].repeat(96, 1).repeat(3, 2)[None]
    np.testing.assert_array_equal(np.asarray(stem(pixels))[0, :, 0, 0] * 128, np.arange(64) - 128)


def test_the_activation_is_everywhere_the_one_asked_for(model: keras.Model) -> None:
    plain = build("mobile_spinenet_s49_minus", input_size=(16, 16), classes=2, aspp_rates=(1,), activation="relu")
    for made, name in ((model, "relu6"), (plain, "relu")):
        used = {layer.activation.__name__ for layer in made.layers if isinstance(layer, layers.Activation)}
        assert used == {name}
