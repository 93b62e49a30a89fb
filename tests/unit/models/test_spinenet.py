"""SpineNet against Fig. 4d of arXiv:1912.05027, written down here a second time, and how its blocks are joined."""

import re
from typing import Any

import keras
import pytest
from keras import layers

from mobile_seg.errors import UsageError
from mobile_seg.graph import view
from mobile_seg.models.cost import count
from mobile_seg.models.registry import build, find
from mobile_seg.models.scale_permuted import MBCONV_49, SPINENET_49, Block, drop_rate, joined
from mobile_seg.models.spinenet import SpineNet
from mobile_seg.models.weightless import weightless

# The scale-permuted part from left to right: level, kind (Bottleneck or Residual), the two inputs, * for an output.
FIGURE_4D = """
2 L2 B 0 1
3 L4 R 0 1
4 L3 B 2 3
5 L4 B 2 4
6 L6 R 3 5
7 L4 B 3 5
8 L5 R 6 7
9 L7 R 6 8
10 L5 B 8 9
11 L5 B 8 10
12 L4 B 5 10 *
13 L3 B 4 10 *
14 L5 B 7 12 *
15 L7 B 5 14 *
16 L6 B 12 14 *
"""
# The same of MBConv blocks, where the stem's L1 block is number 0.
MBCONV_TABLE = """
2 L2 0 1
3 L2 1 2
4 L4 1 2
5 L3 3 4
6 L4 3 5
7 L6 4 6
8 L4 4 6
9 L5 7 8
10 L7 7 9
11 L5 9 10
12 L5 9 11
13 L4 6 11 *
14 L3 5 11 *
15 L5 8 13 *
16 L7 6 15 *
17 L6 13 15 *
"""
SMALL: dict[str, Any] = {"input_size": (128, 256), "classes": 5}


def test_the_rows_are_those_of_the_figure() -> None:
    lines = [line.split() for line in FIGURE_4D.strip().splitlines()]
    kinds = {"B": "bottleneck", "R": "residual"}
    assert {
        int(number): Block(int(level[1:]), (int(first), int(second)), kinds[kind], bool(mark))
        for number, level, kind, first, second, *mark in lines
    } == SPINENET_49
    lines = [line.split() for line in MBCONV_TABLE.strip().splitlines()]
    assert {
        int(number): Block(int(level[1:]), (int(first), int(second)), "mbconv", bool(mark))
        for number, level, first, second, *mark in lines
    } == MBCONV_49


def test_the_blocks_of_each_level_are_those_of_table_1() -> None:
    levels = [block.level for block in SPINENET_49.values()]
    assert {level: levels.count(level) for level in range(2, 8)} == {2: 1, 3: 2, 4: 4, 5: 4, 6: 2, 7: 2}


def test_a_block_that_nobody_reads_joins_the_output_of_its_level() -> None:
    assert {number: others for number, others in joined(SPINENET_49).items() if others} == {14: (11,)}
    assert {number: others for number, others in joined(MBCONV_49).items() if others} == {15: (12,)}
    graph = {
        2: Block(3, (0, 1)),
        3: Block(4, (0, 1)),
        4: Block(3, (0, 1)),
        5: Block(4, (0, 3), output=True),
        6: Block(3, (0, 5), output=True),
    }
    # 2 and 4 are read by nobody and lie at level 3; 3 is read by 5; an output joins nothing.
    assert joined(graph) == {5: (), 6: (2, 4)}


@pytest.mark.parametrize(
    ("name", "widths", "repeats", "alpha", "endpoint", "convs"),
    [
        ("49s", (41, 83, 166, 166, 166, 166), 1, 0.5, 128, 4),
        ("49", (64, 128, 256, 256, 256, 256), 1, 0.5, 256, 4),
        ("96", (64, 128, 256, 256, 256, 256), 2, 0.5, 256, 4),
        ("143", (64, 128, 256, 256, 256, 256), 3, 1.0, 256, 4),
        ("190", (83, 166, 332, 332, 332, 332), 4, 1.0, 512, 7),
    ],
)
def test_the_variants_are_those_of_section_3_4_and_4_1(
    name: str, widths: tuple[int, ...], repeats: int, alpha: float, endpoint: int, convs: int
) -> None:
    entry = find(f"spinenet_{name}")
    row = SpineNet(**entry.row)
    assert tuple(row.width(level) for level in range(2, 8)) == widths
    assert (row.repeats, row.alpha) == (repeats, alpha)
    assert entry.head_options["retinanet"] == {
        "pyramid_width": endpoint,
        "subnet_convs": convs,
        "separable_head": False,
    }


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """The smallest, at a rectangular size, with a narrow head."""
    return build("spinenet_49s", **SMALL, pyramid_width=16, subnet_convs=1)


def test_blocks_read_what_the_table_says(model: keras.Model) -> None:
    graph = view(model)
    alone = {14: (11,)}
    for number, block in SPINENET_49.items():
        name = f"b{number:02d}"
        merged = graph.inputs[f"{name}_merge"]
        sources = [_block_before(graph, tensor, name) for tensor in merged]
        assert sources == [f"b{source:02d}" for source in (*block.inputs, *alone.get(number, ()))]
        inner = int({2: 64, 3: 128}.get(block.level, 256) * 0.65)
        width = 4 * inner if block.kind == "bottleneck" else inner
        output = graph.layers[f"{name}_act"].output
        assert output.shape == (None, 128 // 2**block.level, 256 // 2**block.level, width)


def _block_before(graph: Any, name: str, block: str) -> str:
    """Walk back from a tensor inside `block` to the block whose output it came from."""
    while name.startswith(f"{block}_"):
        name = graph.only_input(name)
    return name.partition("_")[0]


def test_some_connections_by_hand(model: keras.Model) -> None:
    graph = view(model)
    # B3 (L4, residual, 166 wide) reads the stem's B0 (L2, 41 within): 20 channels, down by a convolution and a pool.
    assert graph.layers["b03_from00_reduce_conv"].filters == 20
    assert graph.layers["b03_from00_down0_conv"].strides == (2, 2)
    assert isinstance(graph.layers["b03_from00_down1_pool"], layers.MaxPooling2D)
    assert graph.layers["b03_from00_match_conv"].filters == 166
    # B4 (L3, bottleneck) reads B3 at L4: twice up, nearest, then 1x1 to 4 times 83.
    up = graph.layers["b04_from03_up"]
    assert (up.size, up.interpolation) == ((2, 2), "nearest")
    assert graph.layers["b04_from03_match_conv"].filters == 332
    # B8 (L5) reads B6 at L6 and B7 at L4; what it sums is linear, what it puts out activated.
    assert graph.inputs["b08_merge"] == ("b08_from06_match_bn", "b08_from07_match_bn")
    assert graph.only_consumer("b08_merge") == "b08_merge_act"
    # B11 joins B14 as it is.
    assert graph.inputs["b14_merge"] == ("b14_from07_match_bn", "b14_from12_match_bn", "b11_act")


def test_repeats_stand_in_series() -> None:
    with weightless():
        graph = view(build("spinenet_143", input_size=(64, 64), classes=2, scale=0.1, pyramid_width=8))
    for number in range(17):
        name = f"b{number:02d}"
        for before, repeat in ((name, f"{name}r2"), (f"{name}r2", f"{name}r3")):
            first = f"{repeat}_first_conv" if f"{repeat}_first_conv" in graph.layers else f"{repeat}_reduce_conv"
            assert graph.only_input(first) == f"{before}_act"
    assert graph.only_input("b04_from02_reduce_conv") == "b02r3_act"


def test_stochastic_depth_grows_to_the_last_block() -> None:
    graph = view(build("spinenet_49s", **SMALL, drop_path=0.2, pyramid_width=8))
    rates = [graph.layers[f"b{number:02d}_drop"].rate for number in range(17)]
    assert rates == pytest.approx([0.2 * (number + 1) / 17 for number in range(17)])
    assert drop_rate(0.3, 16, 17) == 0.3


def test_every_layer_has_a_name_that_says_its_block(model: keras.Model) -> None:
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.match(r"image$|(stem|b\d\d|p\d|fusion|head)_[a-z0-9_]+$", name)] == []


@pytest.mark.parametrize("size", [(8, 8), (72, 104), (128, 256), (512, 384)], ids=str)
def test_any_multiple_of_8_is_taken(size: tuple[int, int]) -> None:
    made = build("spinenet_49s", input_size=size, classes=3, scale=0.1, pyramid_width=8, subnet_convs=0)
    assert made.output_shape == (None, size[0] // 8, size[1] // 8, 3)
    resized = [layer for layer in made.layers if isinstance(layer, layers.Resizing)]
    assert bool(resized) == any(side % 128 for side in size if side > 8)


def test_a_size_between_is_refused() -> None:
    with pytest.raises(UsageError, match="multiples of 8; the nearest that works is 96x128"):
        build("spinenet_49s", input_size=(100, 128), classes=3)


def test_an_independent_counter_agrees() -> None:
    # Counted apart from any graph, from the table and the sizes alone.
    with weightless():
        cost = count(build("spinenet_49", input_size=(640, 640), classes=90, head="retinanet"))
    assert round(cost.params / 1e6, 2) == 28.52
    assert round(cost.macs / 1e9, 2) == 85.10
