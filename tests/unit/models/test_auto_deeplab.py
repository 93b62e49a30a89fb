"""Auto-DeepLab against Fig. 3 and the public code's lists, written down here a second time."""

import re
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from mobile_seg.errors import UsageError
from mobile_seg.graph import view
from mobile_seg.models.auto_deeplab import CELL, PATH
from mobile_seg.models.cost import count
from mobile_seg.models.registry import build
from mobile_seg.models.weightless import weightless

# Fig. 3 as the public code has it: ten operations, what each reads, and each cell's downsampling step (0 is 4).
OPERATIONS = "atrous5 separable3 separable3 atrous3 separable3 separable3 separable5 separable5 separable5 atrous5"
READS = (1, 0, 1, 0, 3, 1, 4, 2, 3, 5)
STEPS = (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)
SMALL: dict[str, Any] = {"input_size": (64, 96), "classes": 4, "aspp_rates": (2, 4), "aspp_width": 16}
SOURCES = ("last", "before", "n1", "n2", "n3", "n4")


def test_the_cell_and_the_path_are_those_of_figure_3() -> None:
    assert tuple(4 * 2**step for step in STEPS) == PATH
    flat = [operation for node in CELL for operation in (node.left, node.right)]
    assert [f"{'atrous' if one.atrous else 'separable'}{one.kernel}" for one in flat] == OPERATIONS.split()
    assert tuple(one.source for one in flat) == READS


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """The smallest of the three at a rectangular size."""
    with weightless():
        return build("auto_deeplab_s", **SMALL)


def test_every_cell_computes_at_its_stride_and_width(model: keras.Model) -> None:
    for number, stride in enumerate(PATH):
        height, width = 64 // stride, 96 // stride
        assert model.get_layer(f"c{number:02d}_concat").output.shape == (None, height, width, 5 * 20 * stride // 4)
        assert model.get_layer(f"c{number:02d}_n3_sum").output.shape == (None, height, width, 20 * stride // 4)


def test_operations_read_what_the_lists_say(model: keras.Model) -> None:
    graph = view(model)
    for number in range(len(PATH)):
        for index, (operation, source) in enumerate(zip(OPERATIONS.split(), READS, strict=True)):
            name = f"c{number:02d}_n{index // 2 + 1}_{('left', 'right')[index % 2]}"
            role = "atrous_conv" if operation.startswith("atrous") else "first_depthwise"
            above = graph.only_input(f"{name}_{role}")
            if above == f"{name}_down":
                above = graph.only_input(above)
            assert above == f"c{number:02d}_{SOURCES[source]}_act", name
            kernel = int(operation[-1])
            assert graph.layers[f"{name}_{role}"].kernel_size == (kernel, kernel)


def test_a_cell_at_half_the_resolution_strides_only_where_it_reads_earlier_cells(model: keras.Model) -> None:
    graph = view(model)
    # Cell 4 is at 16, its inputs come at 8. Its atrous operations on them halve first, at rate 1 then.
    halved = graph.layers["c04_n1_left_down"]
    assert (type(halved), halved.pool_size) == (layers.AveragePooling2D, (2, 2))
    assert graph.layers["c04_n1_left_atrous_conv"].dilation_rate == (1, 1)
    assert graph.layers["c04_n1_right_first_depthwise"].strides == (2, 2)
    assert graph.layers["c04_n1_right_second_depthwise"].strides == (1, 1)
    assert graph.layers["c04_n3_left_first_depthwise"].strides == (1, 1), "it reads n2"
    assert graph.layers["c04_n5_right_atrous_conv"].dilation_rate == (2, 2), "it reads n4"
    # Cell 7 stays at 16.
    assert graph.layers["c07_n1_left_atrous_conv"].dilation_rate == (2, 2)
    assert "c07_n1_left_down" not in graph.layers


def test_inputs_of_cells_by_hand(model: keras.Model) -> None:
    graph = view(model)
    # Cell 0 reads the stem at 4, and its 64 channels at 2, halved; both before their activation.
    assert graph.only_input("c00_last_entry_act") == "stem_third_bn"
    assert graph.only_input("c00_before_resize") == "stem_second_bn"
    assert graph.only_input("c00_before_entry_act") == "c00_before_resize"
    # Cell 5 goes up to 8: cell 4 comes up from 16 beforehand, cell 3 is there already.
    up = graph.layers["c05_last_up"]
    assert (up.size, up.interpolation) == ((2, 2), "bilinear")
    assert graph.only_input("c05_last_up") == "c04_concat"
    assert graph.only_input("c05_before_entry_act") == "c03_concat"
    # Cell 11 goes up to 8 as well; what cell 9 left is at 32.
    assert graph.only_input("c11_before_resize") == "c09_concat"
    assert graph.layers["c11_before_resize"].size == (4, 4)
    # ASPP reads cell 11, activated; the decoder, cell 2.
    assert graph.only_input("aspp_point_conv") == "c11_act"
    assert graph.only_input("decoder_low_conv") == "c02_concat"


def test_separable_operations_are_two_with_one_norm_each(model: keras.Model) -> None:
    graph = view(model)
    chain = ["c00_n1_sum"]
    while chain[-1] != "c00_last_act":
        inputs = graph.inputs[chain[-1]]
        chain.append(inputs[-1])
    assert chain[1:] == [
        *(f"c00_n1_right_second_{role}" for role in ("bn", "conv", "depthwise")),
        "c00_n1_right_first_act",
        *(f"c00_n1_right_first_{role}" for role in ("bn", "conv", "depthwise")),
        "c00_last_act",
    ]


@pytest.mark.parametrize("size", [(65, 97), (32, 33)])
def test_one_more_pixel_and_rectangles(size: tuple[int, int]) -> None:
    with weightless():
        model = build("auto_deeplab_s", **{**SMALL, "input_size": size})
    assert model.output_shape == (None, *(-(-side // 4) for side in size), 4)


def test_the_output_at_stride_8_with_the_other_head() -> None:
    with weightless():
        assert build("auto_deeplab_s", **SMALL, head="deeplabv3").output_shape == (None, 8, 12, 4)


def test_the_params_are_the_published_ones_to_two_decimals() -> None:
    published = {"auto_deeplab_s": 10.15, "auto_deeplab_m": 21.62, "auto_deeplab_l": 44.42}
    for name, millions in published.items():
        with weightless():
            assert round(count(build(name, input_size=(32, 32), classes=19)).params / 1e6, 2) == millions


def test_names_say_their_block(model: keras.Model) -> None:
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    blocks = {"stem", "aspp", "decoder", "head", *(f"c{number:02d}" for number in range(12))}
    assert {name.partition("_")[0] for name in names} == {"image", *blocks}
    assert [name for name in names if not re.match(r"image$|[a-z0-9]+_[a-z0-9_]+$", name)] == []


def test_later_cells_drop_more() -> None:
    with weightless():
        model = build("auto_deeplab_s", **SMALL, drop_path=0.24)
    rates = [model.get_layer(f"c{number:02d}_n2_left_drop").rate for number in range(12)]
    np.testing.assert_allclose(rates, [0.02 * (number + 1) for number in range(12)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": 0}, "filters=0, drop_path=0.0; give at least 1 filter"),
        ({"drop_path": 1.0}, "drop_path=1.0; give at"),
        ({"output_stride": 16}, r"output_stride=16 is not offered; choose from \(8,\)"),
        ({"input_size": (48, 64)}, "multiples of 32, or one more"),
        ({"low_level_stride": 32}, "low_level_stride=32 is not offered by this network; choose from 4, 8, 16"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build("auto_deeplab_s", **{**SMALL, **options})
