"""Files that rules and compilers are asked about: small ones of ours, and other people's where somebody put them."""

import os
from pathlib import Path

import keras
from keras import layers
from unit.quantization import nets

from mobile_seg.converters.tflite import convert_graph
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.settle import settle

FOLDER = os.environ.get("MOBILE_SEG_PEERS", str(Path(__file__).parents[5] / "shared" / "peers"))
PEERS = sorted(Path(FOLDER).rglob("*.tflite"))
NO_PEERS = "no models of others: put some into a folder and name it in MOBILE_SEG_PEERS"

NO_CPU = ("edgetpu.tflite", "mnv3_seg_quant.tflite")
"""Ends of names of those that LiteRT refuses on a CPU: compiled for a coprocessor, or faulty."""


def network() -> keras.Model:
    """A little of everything: strides, dilation, swish, nearest and bilinear, an average and a concatenation."""

    def body(x: keras.KerasTensor) -> keras.KerasTensor:
        x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6", name="b00_conv")(x)
        y = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", name="b01_depthwise")(x)
        y = layers.Activation("hard_silu", name="b01_act")(y)
        z = layers.MaxPooling2D(2, name="b02_pool")(y)
        z = layers.UpSampling2D(2, name="b02_nearest")(z)
        x = layers.Concatenate(name="b03_concat")([y, z])
        x = layers.Conv2D(8, 1, name="b04_conv")(x)
        return layers.UpSampling2D(2, interpolation="bilinear", name="b05_bilinear")(x)

    return nets.net(body)


def write(folder: Path) -> dict[str, Path]:
    """Write the network as float32, float16 and int8."""
    found = {}
    for precision in ("float32", "float16"):
        found[precision] = folder / f"{precision}.tflite"
        found[precision].write_bytes(convert_graph(network(), precision=precision, io="float").content)
    quantized = nets.calibrated(network())
    settle(quantized)
    found["int8"] = folder / "int8.tflite"
    found["int8"].write_bytes(convert_graph(deploy_graph(quantized), precision="int8", io="uint8").content)
    return found
