"""Blocks and connections as they are read off a graph, against networks written down by hand."""

import keras
import pytest
from keras import layers

from mobile_seg.models.cost import count
from mobile_seg.models.registry import build
from mobile_seg.models.structure import Block, Connection, Output, block_of, stride_of, structure
from mobile_seg.models.weightless import weightless


def conv(x, filters, name, **options):
    return layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name, **options)(x)


def read(outputs, image):
    return {block.id: block for block in structure(keras.Model(image, outputs)).blocks}


def sources(block: Block) -> list[str]:
    return [connection.source for connection in block.inputs]


@pytest.mark.parametrize(
    ("layer", "block"),
    [
        ("b07_expand_conv", ("b07", 1)),
        ("b07r2_mix_bn", ("b07", 2)),
        ("stem", ("stem", 1)),
        ("conv3r12_x", ("conv3", 12)),
    ],
)
def test_a_layers_name_tells_its_block(layer: str, block: tuple[str, int]) -> None:
    assert block_of(layer) == block


@pytest.mark.parametrize(
    ("shape", "stride"),
    [
        ((None, 641, 641, 3), 1),
        ((None, 161, 300, 8), 4),
        ((None, 41, 41, 8), 16),
        ((None, 1, 1, 8), None),
        ((None, 10), None),
    ],
)
def test_strides_are_powers_of_two(shape: tuple[int, ...], stride: int | None) -> None:
    assert stride_of(shape, 641) == stride


def test_a_small_network_by_hand() -> None:
    image = keras.Input((32, 64, 3), name="image")
    stem = conv(layers.Rescaling(1 / 128, name="stem_normalize")(image), 4, "stem_conv", strides=2)
    first = conv(stem, 6, "b01_first_conv")
    first = conv(first, 6, "b01_second_conv", dilation_rate=3)
    second = layers.Add(name="b02_merge")(
        [conv(stem, 8, "b02_from00_conv", strides=2), conv(first, 8, "b02_conv", strides=2)]
    )
    logits = layers.Conv2D(5, 1, name="head_logits")(second)
    assert structure(keras.Model(image, logits)).blocks == (
        Block("stem", "stem", False, 1, 2, (16, 32), 4, (), (), (), 108, 108 * 512),
        Block("b01", "b01", True, 1, 2, (16, 32), 6, (3,), (Connection("stem", 2),), (), 540, 540 * 512),
        Block(
            "b02", "b02", True, 1, 4, (8, 16), 8, (), (Connection("stem", 2), Connection("b01", 2)), (), 720, 720 * 128
        ),
        Block(
            "head",
            "head",
            False,
            1,
            4,
            (8, 16),
            5,
            (),
            (Connection("b02", 4),),
            (Output("head_logits", (8, 16, 5), 4),),
            45,
            40 * 128,
        ),
    )


def test_repeats_are_one_block_until_the_size_changes() -> None:
    image = keras.Input((32, 32, 3), name="image")
    x = image
    for name, stride in (("b01", 2), ("b01r2", 1), ("b01r3", 1), ("b01r4", 2)):
        x = conv(x, 4, f"{name}_conv", strides=stride)
    blocks = read(layers.MaxPooling2D(name="b01_pool")(x), image)
    assert [(block.name, block.repeats, block.stride) for block in blocks.values()] == [
        ("b01", 3, 2),
        ("b01r4", 1, 4),
        ("b01", 1, 8),
    ]
    image = keras.Input((32, 32, 3), name="image")
    x = conv(conv(image, 4, "b01_conv", strides=2), 4, "b01r2_conv")
    (block,) = read(layers.MaxPooling2D(name="b01_pool")(x), image).values()
    assert (block.repeats, block.stride) == (2, 4), "a pooling behind all repeats belongs to them"


def test_a_name_on_both_sides_of_another_block_is_two_blocks() -> None:
    image = keras.Input((16, 16, 3), name="image")
    entry = conv(image, 4, "head_endpoint_conv")
    inner = conv(entry, 4, "aspp_conv")
    blocks = read(layers.Add(name="head_sum")([entry, inner]), image)
    assert {name: sources(block) for name, block in blocks.items()} == {
        "head": [],
        "aspp": ["head"],
        "head.2": ["head", "aspp"],
    }


def test_shared_layers_are_a_block_per_call() -> None:
    image = keras.Input((32, 32, 3), name="image")
    fine = conv(image, 4, "p3_conv", strides=2)
    coarse = conv(fine, 4, "p4_conv", strides=2)
    shared = layers.Conv2D(6, 3, padding="same", name="class_logits")
    model = keras.Model(image, [shared(fine), shared(coarse)])
    blocks = {block.id: block for block in structure(model).blocks}
    assert (blocks["class"].shares, blocks["class.2"].shares) == ("", "class")
    assert (blocks["class"].stride, blocks["class.2"].stride) == (2, 4), "the finer stands first"
    assert (blocks["class"].params, blocks["class.2"].params) == (222, 0)
    assert blocks["class.2"].macs == 216 * 64
    assert sum(block.params for block in blocks.values()) == count(model).params
    assert sum(block.macs for block in blocks.values()) == count(model).macs


def test_series_are_in_the_order_of_their_numbers() -> None:
    image = keras.Input((16, 16, 3), name="image")
    stem = conv(image, 4, "stem_conv")
    many = [conv(stem, 4, f"b{number:02d}_conv") for number in (11, 2, 10, 1)]
    blocks = read(layers.Add(name="head_sum")(many), image)
    assert list(blocks) == ["stem", "b01", "b02", "b10", "b11", "head"]
    assert [block.body for block in blocks.values()] == [False, True, True, True, True, False]


def test_spinenet_seg_is_table_2() -> None:
    """Block: effective level, long-range input, dilation; every block also reads the one before it."""
    table = {
        2: (2, 0, ()), 3: (3, 1, (2,)), 4: (3, 1, ()), 5: (3, 2, ()), 6: (4, 3, ()), 7: (4, 5, (2,)), 8: (4, 4, ()),
        9: (4, 6, (4,)), 10: (4, 6, ()), 11: (4, 7, (2,)), 12: (4, 8, (4,)), 13: (4, 9, ()), 14: (4, 11, (4,)),
        15: (4, 11, (4,)), 16: (4, 12, ()), 17: (2, 14, (4,)), 18: (4, 16, (2,)), 19: (4, 15, ()), 20: (3, 17, (4,)),
        21: (3, 0, ()),
    }  # fmt: skip
    with weightless():
        model = build("spinenet_s96", input_size=(128, 256), classes=5)
    found = structure(model)
    blocks = {block.id: block for block in found.blocks}
    for number, (level, far, dilations) in table.items():
        block = blocks[f"b{number:02d}"]
        assert set(sources(block)) == {f"b{number - 1:02d}", f"b{far:02d}"}
        assert (block.stride, block.dilations, block.repeats) == (2**level, dilations, 2)
    assert (found.params, found.macs) == (count(model).params, count(model).macs)
    assert blocks["aspp"].dilations == (12, 24, 36)
    assert blocks["head"].outputs == (Output("head_logits", (16, 32, 5), 8),)


def test_a_pyramids_heads() -> None:
    with weightless():
        model = build("spinenet_mbconv_49xs", input_size=(256, 256), classes=5, head="retinanet")
    found = structure(model)
    heads = [block for block in found.blocks if block.name == "class"]
    assert [block.stride for block in heads] == [8, 16, 32, 64, 128]
    assert {block.shares for block in heads[1:]} == {"class"}
    assert sum(len(block.outputs) for block in found.blocks) == 10
    assert (found.params, found.macs) == (count(model).params, count(model).macs)


def test_without_weights_the_counts_are_the_same_and_no_weight_ever_comes() -> None:
    def small():
        return build("mobile_spinenet_s49_minus", input_size=(64, 64), classes=3)

    with weightless():
        hollow = small()
    assert count(hollow) == count(small())
    with keras.StatelessScope():  # where Keras fills in what waits
        pass
    assert all(weight._value is None for weight in hollow.weights)
