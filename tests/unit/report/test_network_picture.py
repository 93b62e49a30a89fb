"""The picture of a network: every block, connection and number in its place, in SVG and in PNG."""

import io
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from unit.report.pictures import faults

from mobile_seg.models.structure import Block, Connection, Output, Structure
from mobile_seg.report.network_layout import Box, Wire, Words
from mobile_seg.report.network_nodes import DOWN, SAME, UP, Edge, grid
from mobile_seg.report.network_picture import DARK, LIGHT, draw, facts, png, svg

SVG = "{http://www.w3.org/2000/svg}"


def block(name, stride, *sources, channels=8, rates=(), repeats=1, outputs=(), shares="", own="", params=10):
    inputs = tuple(Connection(source, at) for source, at in sources)
    size = (256 // stride, 512 // stride) if stride else None
    body = name[0] == "b" and name[-1].isdigit()
    return Block(own or name, name, body, repeats, stride, size, channels, rates, inputs, outputs, params, 100, shares)


def network(*blocks: Block) -> Structure:
    return Structure("net", (256, 512), blocks)


SMALL = network(
    block("stem", 2, channels=5),
    block("b00", 4, ("stem", 2), channels=16),
    block("b01", 16, ("b00", 4), rates=(2,), repeats=3),
    block("b02", 16, ("b01", 16), ("b00", 4), rates=(4,)),
    block("b03", 8, ("b02", 16), ("b00", 4), channels=24),
    block("head", 8, ("b03", 8), channels=19, rates=(6, 12), outputs=(Output("head_logits", (32, 64, 19), 8),)),
)


def nodes(structure: Structure):
    return {node.id: node for node in grid(structure).nodes}


def test_rows_are_strides_and_columns_the_order():
    found = grid(SMALL)
    assert [row.stride for row in found.rows] == [2, 4, 8, 16]
    assert [row.size for row in found.rows] == [(128, 256), (64, 128), (32, 64), (16, 32)]
    assert [node.column for node in found.nodes] == list(range(8))
    assert [node.kind for node in found.nodes] == [
        "image",
        "part",
        "rate1",
        "rate2",
        "rate4",
        "rate1",
        "part",
        "output",
    ]


def test_a_row_without_blocks_is_there_all_the_same():
    found = grid(network(block("b00", 2), block("b01", 8, ("b00", 2)), block("head", None, ("b01", 8))))
    assert [(row.stride, row.size) for row in found.rows] == [(2, (128, 256)), (4, None), (8, (32, 64)), (None, None)]


def test_connections_tell_what_becomes_of_the_size():
    found = nodes(SMALL)
    assert found["b02"].edges == (Edge("b01", SAME), Edge("b00", DOWN))
    assert found["b03"].edges == (Edge("b02", UP), Edge("b00", DOWN))
    assert nodes(network(block("b00", 8), block("head", None, ("b00", 8))))["head"].edges == (Edge("b00", DOWN),)


def test_a_chain_of_like_blocks_is_one():
    chain = [block("b00", 2), block("b01", 4, ("b00", 2)), block("b02", 4, ("b01", 4)), block("b03", 4, ("b02", 4))]
    (image, first, rest) = grid(network(*chain)).nodes
    assert (image.name, first.name, rest.name, rest.repeats) == ("image", "b00", "b01-03", 3)
    assert rest.note == "b01-03: 30 parameters, 300 multiply-adds"


@pytest.mark.parametrize(
    "last",
    [
        block("b02", 4, ("b01", 4), channels=9),
        block("b02", 8, ("b01", 4)),
        block("b02", 4, ("b01", 4), rates=(2,)),
        block("b02", 4, ("b01", 4), ("b00", 4)),
        block("c02", 4, ("b01", 4)),
    ],
)
def test_blocks_that_differ_stand_apart(last: Block):
    assert len(grid(network(block("b00", 4, channels=7), block("b01", 4, ("b00", 4)), last)).nodes) == 4


def test_a_block_that_others_read_stands_apart():
    chain = [block("b00", 4), block("b01", 4, ("b00", 4)), block("b02", 4, ("b01", 4), ("b00", 4))]
    assert [node.name for node in grid(network(*chain)).nodes] == ["image", "b00", "b01", "b02"]


def test_what_only_scales_the_image_is_not_drawn():
    found = grid(network(block("stem", 1, params=0), block("b00", 2, ("stem", 1)))).nodes
    assert [node.name for node in found] == ["image", "b00"]
    assert found[1].edges == (Edge("image", DOWN),)


def test_a_shared_heads_copies_stand_in_one_column_their_outputs_in_the_next():
    strides = (4, 8, 16)
    feet = [block("b00", 4), block("b01", 8, ("b00", 4)), block("b02", 16, ("b01", 8), ("b00", 4))]
    heads = [
        block(
            "class",
            stride,
            (f"b0{level}", stride),
            own=f"class.{level}",
            shares="class.0" if level else "",
            outputs=(Output(f"class{level}", (1, 1, 9), stride),),
        )
        for level, stride in enumerate(strides)
    ]
    found = [node for node in grid(network(*feet, *heads)).nodes if node.name in ("class", "output")]
    assert [node.column for node in found] == [4, 4, 4, 5, 5, 5]
    assert [node.shared for node in found[:3]] == [False, True, True]
    assert not faults(network(*feet, *heads))


@st.composite
def structures(draw_value):
    """Any graph of blocks on any strides, each reading some of those before it."""
    blocks = [block("stem", 2)]
    for number in range(draw_value(st.integers(1, 14))):
        sources = draw_value(st.lists(st.sampled_from(blocks), min_size=1, max_size=4, unique_by=lambda one: one.id))
        stride = draw_value(st.sampled_from([2, 4, 8, 16, 64, None]))
        outputs = (Output("out", (3,), stride),) if draw_value(st.booleans()) and number % 4 == 3 else ()
        reads = [(source.id, source.stride) for source in sources]
        rates = draw_value(st.sampled_from([(), (2,), (6, 12, 18)]))
        blocks.append(block(f"b{number:02d}", stride, *reads, rates=rates, outputs=outputs))
    return network(*blocks)


@given(structures())
@settings(max_examples=60, deadline=None)
def test_nothing_is_hidden_in_any_picture(structure: Structure):
    assert not faults(structure)


def test_the_small_picture_has_no_fault():
    assert not faults(SMALL)


def test_drawn_are_all_connections_and_a_key_of_what_there_is():
    drawing = draw(SMALL, title="net", facts="some facts")
    wires = [shape for shape in drawing.shapes if isinstance(shape, Wire)]
    words = [shape.text for shape in drawing.shapes if isinstance(shape, Words)]
    key = {"block, with its channels", "dilated by 2 or 3", "dilated by 4 or more", "stem or head", "times in series"}
    assert key | {"same stride", "to a coarser stride", "to a finer stride"} <= set(words)
    assert "the same weights again" not in words
    assert len(wires) == sum(len(node.edges) for node in grid(SMALL).nodes) + 3
    assert {"net", "some facts", "b01", "rate 2", "rate 6 12", "x3", "32x64x19", "256x512", "stride 16"} <= set(words)
    notes = [shape.note for shape in drawing.shapes if isinstance(shape, Box) and shape.note]
    assert notes[0] == "stem: 10 parameters, 100 multiply-adds"


def test_facts_say_the_setting_and_the_costs():
    assert facts(SMALL, "some head", "", "19 classes") == (
        "256x512 · some head · 19 classes · 60 parameters · 600 multiply-adds"
    )


def test_the_svg_is_text_that_a_reader_can_search():
    drawing = draw(SMALL, title="a <b>", facts="facts")
    root = ET.fromstring(svg(drawing))
    assert root.attrib["aria-label"] == "a <b>: facts"
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts == [shape.text for shape in drawing.shapes if isinstance(shape, Words)]
    assert len(list(root.iter(f"{SVG}polygon"))) == len(list(root.iter(f"{SVG}path")))
    assert "b01: 10 parameters, 100 multiply-adds" in [title.text for title in root.iter(f"{SVG}title")]


def test_every_class_has_its_colour_in_light_and_dark():
    drawn = svg(draw(SMALL, title="net", facts="facts"))
    style = drawn[drawn.index("<style>") : drawn.index("</style>")]
    light, dark = style.split("@media(prefers-color-scheme:dark)")
    for kind in {
        word for names in re.findall(r'(?:rect|path|polygon) class="([\w -]+)"', drawn) for word in names.split()
    }:
        assert LIGHT[kind] in light
        assert DARK[kind] in dark
    assert LIGHT.keys() == DARK.keys()
    assert "var(" not in drawn, "not every viewer knows variables"


def test_the_png_is_the_same_picture():
    drawing = draw(SMALL, title="net", facts="facts")
    image = Image.open(io.BytesIO(png(drawing))).convert("RGB")
    assert image.size == (2 * -(-int(drawing.width * 1000) // 1000), 2 * -(-int(drawing.height * 1000) // 1000))
    assert image.getpixel((2, 2)) == (255, 255, 255)
    for box in (shape for shape in drawing.shapes if isinstance(shape, Box) and shape.note):
        x, y = round(2 * (box.x + 4)), round(2 * (box.y + box.height - 5))
        expected = tuple(bytes.fromhex(LIGHT[box.kind][1:]))
        assert all(abs(a - b) <= 8 for a, b in zip(image.getpixel((x, y)), expected, strict=True)), box
