"""A small network that has learnt to see, its files, and the tools to plant mistakes in them."""

import copy
import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from mobile_seg.artifact import with_members
from mobile_seg.converters.flat import constant, operator_code, pack, shape, unpack
from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import convert
from mobile_seg.data.toy import CLASSES, PALETTE, draw_scene
from mobile_seg.imaging import resize_image, resize_labels
from mobile_seg.keras_file import keras_manifest
from mobile_seg.layers import Resize
from mobile_seg.manifest import MEMBER, Manifest
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.full_size import at_input_size
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import find
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.runners import Runner, open_artifact

SIZE, STRIDE = (48, 64), 2
LOW = SIZE[0] // STRIDE, SIZE[1] // STRIDE
STEPS, BATCH, SCENES = 90, 8, 16


@cache
def scenes(count: int = SCENES, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images `[count, H, W, 3]` uint8 and class ids at the output stride."""
    drawn = [draw_scene((7, first + number), SIZE) for number in range(count)]
    return np.stack([one.image for one in drawn]), np.stack([resize_labels(one.labels, LOW) for one in drawn])


def shown() -> list[np.ndarray]:
    """What files are verified on, unseen in training."""
    return list(scenes(4, 100)[0])


@cache
def network() -> keras.Model:
    """Trained until masks follow the scene."""
    keras.utils.set_random_seed(3)
    model = build()
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = scenes()
    model.fit(images.astype(np.float32), labels, batch_size=BATCH, epochs=STEPS * BATCH // SCENES, verbose=0)
    return model


def build() -> keras.Model:
    """Two scales, one bilinear upsampling, every kind of linear layer that our networks have most of."""

    def block(layer: Any, x: Any) -> Any:
        x = layers.BatchNormalization(momentum=0.8, name=f"{layer.name}_bn")(layer(x))
        return layers.ReLU(6, name=f"{layer.name}_relu6")(x)

    image = keras.Input((*SIZE, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    x = block(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem"), x)
    x = block(layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise"), x)
    fine = block(layers.Conv2D(12, 1, use_bias=False, name="project"), x)
    x = block(layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="down"), fine)
    x = block(layers.Conv2D(12, 3, padding="same", use_bias=False, name="deep"), x)
    x = layers.Add(name="join")([Resize(LOW, name="up")(x), fine])
    x = block(layers.Conv2D(12, 3, padding="same", use_bias=False, name="mix"), x)
    return keras.Model(image, layers.Conv2D(len(CLASSES), 1, name="logits")(x), name="street")


@cache
def as_wide_as_deep() -> keras.Model:
    """As many columns as classes: only then can an argmax run over another axis unnoticed."""
    keras.utils.set_random_seed(3)
    image = keras.Input((24, len(CLASSES), 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv")(x)
    logits = layers.Conv2D(len(CLASSES), 1, bias_initializer="random_normal", name="logits")
    return keras.Model(image, logits(x), name="street")


@cache
def reference_model(precision: str, output: str) -> keras.Model:
    """The Keras model that a file of this form follows; int8 is calibrated on its training images."""
    model = as_wide_as_deep() if output == "labels" else network()
    if precision == "int8":
        model = insert_quantizers(model, scheme=find("int8"))
        images = [resize_image(image, model.input_shape[1:3]) for image in scenes()[0]]
        calibrate(model, [np.stack(images).astype(np.float32)])
        settle(model)
    return at_input_size(model) if output == "logits-full" else model


def manifest_of(model: keras.Model) -> Manifest:
    return keras_manifest(model, CLASSES, PALETTE, precision="float32", name="street")


@cache
def reference(precision: str, output: str) -> Runner:
    """Runs the Keras model."""
    model = reference_model(precision, output)
    return KerasRunner(model, manifest=manifest_of(model))


@dataclasses.dataclass(frozen=True)
class File:
    """A `.tflite` file's bytes and its manifest."""

    content: bytes
    manifest: Manifest

    def saved(self, folder: Path) -> Runner:
        """Write it with its manifest inside, and open what was written."""
        path = folder / "street.tflite"
        path.write_bytes(with_members(self.content, {MEMBER: self.manifest.to_json()}))
        return open_artifact(path)

    def edited(self, edit: Callable[[Any], None]) -> "File":
        """The file with its graph changed in place."""
        model = unpack(self.content)
        edit(model)
        return dataclasses.replace(self, content=pack(model))


@cache
def exported(precision: str, output: str, io: str = "uint8") -> File:
    """A sound file."""
    model, integers = reference_model(precision, output), precision == "int8"
    options = ExportOptions(precision=precision, output=output, io=io)
    graph = deploy_graph(model) if integers else model
    made = convert(graph, options=options, manifest=manifest_of(model), integer_graph=integers)
    assert isinstance(made.content, bytes)
    return File(pack(unpack(made.content)), made.manifest)


def operators(model: Any, *codes: int) -> list[Any]:
    """The operators of these builtin codes, in order."""
    return [one for one in model.subgraphs[0].operators if operator_code(model, one) in codes]


def tensor(model: Any, index: int) -> Any:
    return model.subgraphs[0].tensors[index]


def change(model: Any, index: int, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    """Replace a constant tensor's values by others of the same shape and type."""
    one = tensor(model, index)
    values = constant(model, one)
    assert values is not None
    made = np.asarray(edit(values), values.dtype, order="C")
    assert made.shape == values.shape
    assert not np.array_equal(made, values)
    model.buffers[one.buffer].data = np.frombuffer(made.tobytes(), np.uint8)


def read_as_channels_first(model: Any) -> None:
    """Put a RESHAPE and a TRANSPOSE in front: the image's buffer is read as [C, H, W]."""
    (image,) = model.subgraphs[0].inputs
    height, width = shape(tensor(model, image))[1:3]
    readers = [one for one in model.subgraphs[0].operators if image in one.inputs]
    first = _put_in_front(model, schema.BuiltinOperator.RESHAPE, image, (1, 3, height, width), (1, 3, height, width), 0)
    back = _put_in_front(model, schema.BuiltinOperator.TRANSPOSE, first, (0, 2, 3, 1), (1, height, width, 3), 1)
    for reader in readers:
        reader.inputs = [back if one == image else one for one in reader.inputs]


def _put_in_front(
    model: Any, code: int, source: int, argument: tuple[int, ...], made: tuple[int, ...], place: int
) -> int:
    """An operator on `source` and four int32; returns its output's index."""
    graph = model.subgraphs[0]
    held, output, operator = schema.TensorT(), copy.deepcopy(tensor(model, source)), schema.OperatorT()
    kind = schema.OperatorCodeT()
    kind.builtinCode = kind.deprecatedBuiltinCode = code
    kind.version = 1
    data = schema.BufferT()
    data.data = np.frombuffer(np.int32(argument).tobytes(), np.uint8)
    held.type, held.shape, held.name, held.buffer = schema.TensorType.INT32, [4], f"argument{place}", len(model.buffers)
    output.shape, output.shapeSignature, output.name, output.buffer = list(made), None, f"front{place}", 0
    operator.opcodeIndex, operator.inputs = len(model.operatorCodes), [source, len(graph.tensors)]
    operator.outputs = [len(graph.tensors) + 1]
    model.operatorCodes.append(kind)
    model.buffers.append(data)
    graph.tensors += [held, output]
    graph.operators.insert(place, operator)
    return len(graph.tensors) - 1
