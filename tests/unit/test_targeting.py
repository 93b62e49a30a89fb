"""A file and what will run it: rewritten where it helps, told where it does not."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from unit.converters.targets.flat_graphs import run
from unit.quantization import nets

import mobile_seg
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import UsageError
from mobile_seg.profiling.delegates import judges
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.targeting import fit

EACH = ("xnnpack", "gpu", "nnapi", "edgetpu", "ethos-u")


def network() -> keras.Model:
    """One of everything that some target refuses, as the networks of the zoo have it."""

    def body(x: keras.KerasTensor) -> keras.KerasTensor:
        x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6", name="b00_conv")(x)
        y = layers.MaxPooling2D(1, strides=2, padding="same", name="b01_shortcut_pool")(x)
        z = layers.AveragePooling2D(3, strides=1, padding="same", name="b01_switch_mean")(y)
        y = layers.Conv2D(8, 1, name="b01_conv")(layers.Concatenate(name="b01_concat")([y, z]))
        y = layers.UpSampling2D(2, name="b02_up")(y)
        x = layers.Conv2D(8, 1, activation="relu", name="b02_conv")(layers.Add(name="b02_merge")([x, y]))
        pooled = layers.GlobalAveragePooling2D(keepdims=True, name="b03_pool_mean")(x)
        pooled = layers.Conv2D(8, 1, activation="relu", name="b03_pool_conv")(pooled)
        x = layers.Concatenate(name="b03_concat")([x, layers.UpSampling2D(6, name="b03_pool_up")(pooled)])
        return layers.Conv2D(4, 1, name="b04_conv")(x)

    return nets.net(body)


@pytest.fixture(scope="module")
def int8() -> bytes:
    return mobile_seg.to_tflite(nets.calibrated(network()), io="uint8")


@pytest.mark.parametrize("target", EACH)
def test_the_same_numbers_for_every_target(int8: bytes, target: str) -> None:
    content, found = fit(int8, target=target, name="small.tflite")
    for image in nets.images(4):
        np.testing.assert_array_equal(run(int8, image[None]), run(content, image[None]))
    assert (content == int8) == (not found.mended)
    mended = {one.name: one.layers for one in found.mended}
    expected = {
        "xnnpack": {
            "strided pixels": ("b01_shortcut_pool",),
            "average in floats": ("b01_switch_mean",),
            "nearest by copies": ("b02_up",),
        },
        "edgetpu": {"one pixel tiled": ("b03_pool_up",)},
    }
    assert mended == expected.get(target, {})


def test_xnnpack_itself_makes_one_part_of_it(int8: bytes, tmp_path: Path) -> None:
    content, found = fit(int8, target="xnnpack", name="small.tflite")
    path = tmp_path / "small.tflite"
    path.write_bytes(content)
    opinion = judges.ask(read_graph(path), "xnnpack")
    assert (found.before, found.check.partitions, opinion.partitions) == (3, 1, 1)
    assert opinion.left_kinds == {"QUANTIZE"}
    assert [one.operation for one in found.conversions] == ["DEQUANTIZE", "QUANTIZE"]


def test_what_is_said_of_it(int8: bytes) -> None:
    _, found = fit(int8, target="xnnpack", name="small.tflite")
    verdict, *mended, left = found.lines
    assert verdict == "XNNPACK leaves 1, in one part"
    assert [line.partition(":")[0] for line in mended] == [
        "rewritten at b01_shortcut_pool",
        "rewritten at b01_switch_mean",
        "rewritten at b02_up",
    ]
    assert left.startswith("left at image: QUANTIZE x1: From one 8-bit grid to another, signedness must stay")
    assert "(it goes from uint8 to int8) Fix: Feed the model signed bytes" in left


def test_with_signed_bytes_nothing_is_left() -> None:
    content = mobile_seg.to_tflite(nets.calibrated(network()), io="int8")
    _, found = fit(content, target="xnnpack", name="small.tflite")
    assert found.lines[0] == "XNNPACK takes all of it in one part"
    assert found.refused == ()


def test_nothing_to_run_is_an_error() -> None:
    content = convert_graph(network(), precision="float32", io="float").content
    said = (
        r"^small\.tflite: Edge TPU takes nothing of it: Inputs must be int8 or uint8\. Export with `--precision int8`"
    )
    with pytest.raises(UsageError, match=said):
        fit(content, target="edgetpu", name="small.tflite")
