"""The ways from a trained run to a .tflite file, which `export_paths.py` measures: the usual ones and ours."""

import argparse
import functools
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from mobile_seg import api
from mobile_seg.converters import tflite
from mobile_seg.data.calibration import calibration_batches
from mobile_seg.data.description import Dataset, load_dataset
from mobile_seg.data.stream import TrainStream
from mobile_seg.files import write_bytes
from mobile_seg.quantization import tfmot
from mobile_seg.training.losses import SegmentationLoss
from mobile_seg.training.recipe import UNDECAYED, Recipe
from mobile_seg.verify.keras_runner import load_keras

TYPES, LOGITS, LABELS = ("float32", "int8"), "ours, {}", "ours, {}, labels ({})"
UNMOVED = "ours, float32, nothing moved"
"""Without what `converters/reorder.py` does and without a target: the same operations as the usual files."""
SHOWN = 100
"""Images to the usual quantization after training: TensorFlow's documentation advises some 100 to 500."""

VERIFIED = 4
"""Images that ours are verified on before they are measured, which says how well they follow."""

OUTPUTS = {"coarse": "labels-nearest", "smooth": "labels"}
"""How a file of ours takes the classes → what `export` calls it."""

MODELS = ("model_float.keras", "model_qat.keras")


def loaded(options: argparse.Namespace) -> tuple[Dataset, keras.Model]:
    """The dataset and the run's float model."""
    return load_dataset(options.data), load_keras(options.run / MODELS[0])


def litert(options: argparse.Namespace) -> bytes:
    """Keras' own export."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.tflite")
        loaded(options)[1].export(file, format="litert", verbose=False)
        return file.read_bytes()


def saved_model(options: argparse.Namespace, *, integers: bool = False) -> bytes:
    """A SavedModel through TFLiteConverter, as TensorFlow's documentation shows, quantized after training or not."""
    dataset, network = loaded(options)

    def images() -> Iterator[list[np.ndarray]]:
        batches = calibration_batches(dataset, size=tuple(network.input_shape[1:3]), images=SHOWN)
        yield from ([image[None].astype(np.float32)] for batch in batches for image in batch)

    with tempfile.TemporaryDirectory() as folder:
        network.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if integers:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = images
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
        return converter.convert()


def with_tfmot(options: argparse.Namespace) -> bytes:
    """TF-MOT's quantization-aware training, a few steps of it."""
    dataset, network = loaded(options)
    recipe, size = Recipe(steps=4, batch=8, learning_rate=1e-4), tuple(network.input_shape[1:3])
    shown = list(calibration_batches(dataset, size=size))
    with TrainStream(dataset, size=size, batch=recipe.batch, seed=0) as batches:
        training = tfmot.Training(recipe, batches, SegmentationLoss(), UNDECAYED)
        return tfmot.run_tfmot(network, method="qat", images=shown, training=training, integer_io=True).content


def ours(
    options: argparse.Namespace, *, precision: str = "int8", output: str = "logits", target: str | None = "xnnpack"
) -> bytes:
    """The run's quantized model, or its float one."""
    model, io = (MODELS[1], "uint8") if precision == "int8" else (MODELS[0], "float")
    with tempfile.TemporaryDirectory() as folder:
        made = api.export(
            options.run / model,
            data=options.data,
            folder=folder,
            precision=precision,
            output=output,
            io=io,
            target=target,
            images=VERIFIED,
        )
        return made.path.read_bytes()


def unmoved(options: argparse.Namespace) -> bytes:
    """Our float file as it would be if no work were moved to fewer pixels."""
    with (
        mock.patch.object(tflite, "enlarge_last", return_value=False),
        mock.patch.object(tflite, "spread_last", side_effect=lambda content: content),
    ):
        return ours(options, precision="float32", target=None)


TFMOT = "TF-MOT"
WAYS: dict[str, Callable[[argparse.Namespace], bytes]] = {
    "keras export(format='litert')": litert,
    "SavedModel": saved_model,
    "SavedModel, PTQ": functools.partial(saved_model, integers=True),
    TFMOT: with_tfmot,
    UNMOVED: unmoved,
    **{LOGITS.format(kind): functools.partial(ours, precision=kind) for kind in TYPES},
    **{
        LABELS.format(kind, form): functools.partial(ours, precision=kind, output=output)
        for kind in TYPES
        for form, output in OUTPUTS.items()
    },
}
"""Ways from a run to a file."""


def converted(options: argparse.Namespace, progress: Callable[[int, int, str], None]) -> Iterator[tuple[str, bytes]]:
    """Every file by its name: from the run's folder `export_paths`, unless the run is newer, or converted now."""
    ways = WAYS if options.tfmot else {name: way for name, way in WAYS.items() if name != TFMOT}
    newest = max((options.run / name).stat().st_mtime for name in MODELS)
    for number, (name, way) in enumerate(ways.items()):
        progress(number, len(ways), name)
        path = options.run / "export_paths" / f"{re.sub('[^a-z0-9]+', '_', name.lower()).strip('_')}.tflite"
        if not path.is_file() or path.stat().st_mtime < newest:
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, way(options))
            keras.backend.clear_session()
        yield name, path.read_bytes()
    progress(len(ways), len(ways), "converted")
