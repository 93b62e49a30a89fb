"""A model small enough to know by heart, as NumPy, Keras and TFLite: what the runners are tested on.

A 4x4 convolution with stride 4 and ReLU6, then a 1x1 convolution: `[16, 24, 3]` to `[4, 6, 4]`.
"""

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.artifact import with_members
from mobile_seg.manifest import MEMBER, InputSpec, Manifest, OutputSpec

HEIGHT, WIDTH, STRIDE, CLASSES = 16, 24, 4, 4
LOW = HEIGHT // STRIDE, WIDTH // STRIDE
MEAN = STD = 127.5

_rng = np.random.default_rng(7)
KERNEL = (_rng.normal(size=(STRIDE, STRIDE, 3, 8)) * 0.4).astype(np.float32)
BIAS = _rng.normal(size=8).astype(np.float32)
POINTWISE = _rng.normal(size=(1, 1, 8, CLASSES)).astype(np.float32)


def images(count: int = 6, size: tuple[int, int] = (HEIGHT, WIDTH)) -> list[np.ndarray]:
    """Return smooth colour gradients with noise, `[H, W, 3]` uint8, the same ones every time."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[0 : 1 : complex(size[0]), 0 : 1 : complex(size[1])]
    made = []
    for _ in range(count):
        ramp = rows[..., None] * rng.uniform(-200, 200, 3) + columns[..., None] * rng.uniform(-200, 200, 3)
        made.append(np.clip(ramp + rng.uniform(60, 200, 3) + rng.normal(0, 12, ramp.shape), 0, 255).astype(np.uint8))
    return made


def oracle(image: np.ndarray) -> np.ndarray:
    """Compute the logits `[4, 6, 4]` of an image at input size in NumPy."""
    x = (image.astype(np.float32) - MEAN) / STD
    patches = x.reshape(LOW[0], STRIDE, LOW[1], STRIDE, 3).swapaxes(1, 2).reshape(*LOW, -1)
    hidden = np.clip(patches @ KERNEL.reshape(-1, 8) + BIAS, 0, 6)
    return hidden @ POINTWISE[0, 0]


def keras_model() -> Any:
    """Build the model in Keras."""
    import keras

    image = keras.Input((HEIGHT, WIDTH, 3), name="image")
    x = keras.layers.Rescaling(1 / STD, offset=-MEAN / STD, name="normalize")(image)
    x = keras.layers.Conv2D(8, STRIDE, strides=STRIDE, name="stem_conv")(x)
    x = keras.layers.ReLU(6, name="stem_relu6")(x)
    x = keras.layers.Conv2D(CLASSES, 1, use_bias=False, name="segmentation")(x)
    model = keras.Model(image, x)
    model.get_layer("stem_conv").set_weights([KERNEL, BIAS])
    model.get_layer("segmentation").set_weights([POINTWISE])
    return model


def manifest(
    *, precision: str = "float32", dtype: str = "float32", outside: bool = False, output: OutputSpec | None = None
) -> Manifest:
    """Describe one of the variants below."""
    return Manifest(
        model="tiny",
        precision=precision,
        input=InputSpec(HEIGHT, WIDTH, dtype=dtype, mean=MEAN, std=STD, normalized_outside=outside),
        output=output or OutputSpec("logits", *LOW, dtype="float32"),
        classes=("road", "sky", "tree", "car"),
        palette=((128, 64, 128), (70, 130, 180), (107, 142, 35), (0, 0, 142)),
    )


def carrying(content: bytes, description: Manifest) -> bytes:
    """Append a manifest to a model's bytes."""
    return with_members(content, {MEMBER: description.to_json(), "labels.txt": "road\nsky\ntree\ncar\n"})


@dataclass(frozen=True)
class Conversion:
    """How a variant of the model is converted: what the tensors hold, what the graph ends in."""

    outside: bool = False
    head: str = "logits"
    input: str = "float32"
    output: str = "float32"


FLOAT32 = Conversion()
FLOAT32_OUTSIDE = Conversion(outside=True)
LABELS = Conversion(head="labels")
INT8 = Conversion(input="uint8", output="int8")
INT8_SIGNED = Conversion(input="int8", output="int8")
INT8_OUTSIDE = Conversion(input="int8", output="int8", outside=True)
NEAREST = Conversion(head="nearest")


@functools.cache
def flatbuffer(how: Conversion = FLOAT32) -> bytes:
    """Convert with TensorFlow; post-training quantization on `images` where the input is an integer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf

        spec = tf.TensorSpec([1, HEIGHT, WIDTH, 3], tf.float32, name="image")
        function = tf.function(lambda image: {"segmentation": _graph(tf, image, how)}).get_concrete_function(spec)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        if how.input != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([_real(image, how)] for image in [*images(), *extremes()])
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.as_dtype(how.input)
            converter.inference_output_type = tf.as_dtype(how.output)
        return bytes(converter.convert())


def extremes() -> list[np.ndarray]:
    """Return a black and a white image: the input's range is then the whole of 0..255."""
    return [np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in (0, 255)]


def _real(image: np.ndarray, how: Conversion) -> np.ndarray:
    value = image.astype(np.float32)
    return ((value - MEAN) / STD if how.outside else value)[None]


def _graph(tf: Any, image: Any, how: Conversion) -> Any:
    x = image if how.outside else (image - MEAN) / STD
    x = tf.nn.relu6(tf.nn.conv2d(x, KERNEL, STRIDE, "VALID") + BIAS)
    x = tf.nn.conv2d(x, POINTWISE, 1, "VALID")
    if how.head == "nearest":  # which XNNPACK does not take: its neighbours fall into two partitions
        x = tf.compat.v1.image.resize_nearest_neighbor(x, (HEIGHT, WIDTH), half_pixel_centers=True)
        return tf.nn.conv2d(x, np.eye(CLASSES, dtype=np.float32)[None, None], 1, "VALID")
    if how.head == "labels":
        return tf.argmax(tf.image.resize(x, (HEIGHT, WIDTH), "bilinear"), -1, output_type=tf.int32)
    return x


@functools.cache
def artifact(how: Conversion = FLOAT32) -> bytes:
    """Return a variant with a manifest that tells the truth about it."""
    content = flatbuffer(how)
    if how.head == "labels":
        output = OutputSpec("labels", HEIGHT, WIDTH, dtype="int32")
    else:
        scale, zero_point = output_quantization(content)
        output = OutputSpec("logits", *LOW, dtype=how.output, scale=scale, zero_point=zero_point)
    precision = "float32" if how.input == "float32" else "int8"
    return carrying(content, manifest(precision=precision, dtype=how.input, outside=how.outside, output=output))


def output_quantization(content: bytes) -> tuple[float | None, int | None]:
    """Read scale and zero point off the graph."""
    from ai_edge_litert.interpreter import Interpreter

    scale, zero_point = Interpreter(model_content=content).get_output_details()[0]["quantization"]
    return (float(scale), int(zero_point)) if scale else (None, None)


def save(folder: Path, how: Conversion = FLOAT32, name: str = "tiny.tflite") -> Path:
    """Write a TFLite variant and return its path."""
    path = folder / name
    path.write_bytes(artifact(how))
    return path


def save_keras(folder: Path, name: str = "tiny.keras") -> Path:
    """Write the Keras model, its manifest inside."""
    path = folder / name
    keras_model().save(path)
    path.write_bytes(carrying(path.read_bytes(), manifest()))
    return path
