"""The product's verbs, as functions: build, train, quantize, export, evaluate, predict, profile.

Each takes and returns plain values: paths of model files, records of what was measured. The command line
is a thin layer over these, and `mobile_seg.job` chains them.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg.data.description import Dataset, load_dataset
from mobile_seg.errors import UsageError, choose
from mobile_seg.files import write_bytes, write_text
from mobile_seg.keras_file import keras_manifest, save_model, weights_digest
from mobile_seg.manifest import Manifest
from mobile_seg.models.registry import build
from mobile_seg.training.recipe import Recipe

if TYPE_CHECKING:  # importing this module loads nothing heavy, so that `--help` can show its defaults
    from mobile_seg.evaluation.confusion import SegmentationScore
    from mobile_seg.imaging import Image, LabelMap
    from mobile_seg.profiling.records import HostProfile
    from mobile_seg.verify.compare import Agreement
    from mobile_seg.verify.runners import Runner

Progress = Callable[[int, int, str], None]
"""`progress(done, total, text)`."""

PathLike = str | os.PathLike[str]

FLOAT_RECIPE = Recipe(steps=4000, batch=8, learning_rate=0.1)
QAT_RECIPE = Recipe(steps=500, batch=8, learning_rate=0.005)

__all__ = ["build", "evaluate", "export", "predict", "profile", "quantize", "train"]


def train(
    data: PathLike,
    *,
    model: str,
    input_size: tuple[int, int],
    folder: PathLike,
    recipe: Recipe = FLOAT_RECIPE,
    options: dict[str, Any] | None = None,
    evaluate_every: int = 500,
    mixed_precision: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Train a network on a dataset and return `folder/model_float.keras`.

    `options` goes to `build` (output stride, head). Every image and label is read once first. The checkpoint,
    the history (`float.history.json`) and TensorBoard's scalars stand in `folder`. `mixed_precision` computes
    in bfloat16, which pays on a GPU; weights and model are float32 all the same. The seed decides the weights.

    Raises:
        UsageError, DatasetError, CheckpointError: as their names say.
    """
    import keras

    from mobile_seg.data.readers import check_dataset
    from mobile_seg.training.precision import dtype_policy, in_float32
    from mobile_seg.training.settings import dataset_digest, settings_key

    dataset = load_dataset(data)
    options = dict(options or {})
    untrained = functools.partial(build, model, input_size=input_size, classes=len(dataset.classes), **options)
    keras.utils.set_random_seed(recipe.seed)
    with dtype_policy(mixed=mixed_precision):
        network = untrained()
    check_dataset(dataset, progress=progress and (lambda done, total: progress(done, total, "checking the dataset")))
    chosen: dict[str, Any] = {"mixed_precision": True} if mixed_precision else {}
    chosen |= {"model": model, "input_size": input_size, "options": options}
    key = settings_key(**chosen, data=dataset_digest(dataset), recipe=recipe)
    _fit(network, dataset, recipe, "float", Path(folder), key, evaluate_every, resume, progress)
    if mixed_precision:
        network = in_float32(network, untrained)
    manifest = keras_manifest(network, dataset.classes, dataset.palette, precision="float32", name=model)
    return save_model(network, Path(folder) / "model_float.keras", manifest)


def quantize(
    model: PathLike,
    *,
    data: PathLike,
    folder: PathLike,
    recipe: Recipe | None = QAT_RECIPE,
    evaluate_every: int = 500,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Quantize a trained `.keras` model and return `folder/model_qat.keras`.

    Ranges are set from training images first. With a recipe the model is then trained quantization-aware;
    with None it is left at that, which is post-training quantization.

    Raises:
        UsageError, DatasetError, ArtifactError, CheckpointError, UnsupportedLayerError.
    """
    from mobile_seg.data.calibration import calibration_batches
    from mobile_seg.quantization.calibrate import calibrate
    from mobile_seg.quantization.rewrite import insert_quantizers
    from mobile_seg.quantization.settle import settle
    from mobile_seg.training.settings import dataset_digest, settings_key
    from mobile_seg.verify.keras_runner import load_keras
    from mobile_seg.verify.runners import require_manifest

    manifest = require_manifest(model)
    dataset = load_dataset(data)
    if dataset.classes != manifest.classes:
        raise UsageError(f"{model} was trained on classes {manifest.classes}, {data} has {dataset.classes}.")
    trained = load_keras(model)
    network = insert_quantizers(trained)
    size = (manifest.input.height, manifest.input.width)
    calibrate(network, calibration_batches(dataset, size=size))
    if recipe is not None:
        key = settings_key(float_model=weights_digest(trained), data=dataset_digest(dataset), recipe=recipe)
        _fit(network, dataset, recipe, "qat", Path(folder), key, evaluate_every, resume, progress)
    settle(network)
    quantized = dataclasses.replace(manifest, precision="int8-qat" if recipe else "int8-ptq")
    return save_model(network, Path(folder) / "model_qat.keras", quantized)


@dataclasses.dataclass(frozen=True)
class Exported:
    """An artifact on disk, and how closely it follows the Keras model it was made from."""

    path: Path
    manifest: Manifest
    agreement: "Agreement"


def export(
    model: PathLike,
    *,
    data: PathLike,
    folder: PathLike,
    precision: str = "int8",
    output: str = "logits",
    io: str = "uint8",
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Export a `.keras` model to TFLite and verify the file on the dataset's validation images.

    A float model asked for int8 is quantized after training, calibrated on the dataset's training images.
    The manifest goes inside the file and beside it (`.json`). With `force` an artifact below the parity
    gate's floor is written all the same.

    Raises:
        UsageError: for options that do not fit the model.
        ParityError: if the file does not follow the model; then nothing is written.
        ArtifactError, DatasetError, DiskError: as their names say.
    """
    from mobile_seg.converters.options import ExportOptions
    from mobile_seg.converters.tflite import convert
    from mobile_seg.data.readers import read_split
    from mobile_seg.quantization.deploy import deploy_graph
    from mobile_seg.verify import gate
    from mobile_seg.verify.compare import compare
    from mobile_seg.verify.keras_runner import KerasRunner
    from mobile_seg.verify.tflite_runner import TFLiteRunner

    options = ExportOptions(precision=precision, output=output, io=io)
    dataset = load_dataset(data)
    network, manifest = _model_for(model, precision, dataset)
    integers = precision == "int8"
    converted = convert(
        deploy_graph(network) if integers else network, options=options, manifest=manifest, integer_graph=integers
    )
    form = ("" if output == "logits" else f"_{output}") + ("" if io == "uint8" else "_float-io")
    name = f"{manifest.model}_{precision}{form}.tflite"
    path = Path(folder) / name
    total = len(dataset.val)
    agreement = compare(
        KerasRunner(network, manifest=manifest),
        TFLiteRunner(converted.content, manifest=converted.manifest, path=path),
        (image for image, _ in read_split(dataset, "val")),
        progress=None if progress is None else lambda done: progress(done, total, f"verifying {name}"),
    )
    if not force:
        gate.check(agreement, precision=precision, artifact=name)
    write_bytes(path, converted.content)
    write_text(path.with_suffix(".json"), converted.manifest.to_json())
    return Exported(path, converted.manifest, agreement)


def evaluate(
    artifact: "PathLike | Runner", *, data: PathLike, split: str = "val", progress: Progress | None = None
) -> "SegmentationScore":
    """Score an artifact (`.keras` or `.tflite`, or one already opened) on a dataset's split, at the labels' own size.

    Raises:
        UsageError: if the artifact's classes are not the dataset's, or for an unknown split.
        ArtifactError, DatasetError: as their names say.
    """
    from mobile_seg.data.readers import read_split
    from mobile_seg.evaluation.evaluate import evaluate as score

    choose("split", split, ("train", "val"))
    dataset = load_dataset(data)
    runner = _opened(artifact)
    if runner.manifest.classes != dataset.classes:
        raise UsageError(
            f"{runner.name} knows the classes {', '.join(runner.manifest.classes)}; "
            f"{data} names {', '.join(dataset.classes)}. Evaluate on the dataset it was trained for."
        )
    total = len(getattr(dataset, split))
    return score(
        runner.segment,
        read_split(dataset, split),
        classes=len(dataset.classes),
        progress=None
        if progress is None
        else lambda done: progress(done, total, f"evaluating {Path(runner.name).name}"),
    )


def predict(artifact: "PathLike | Runner", images: "Iterable[Image]") -> "Iterator[LabelMap]":
    """Segment images `[H, W, 3]` uint8 RGB of any size; yields class ids `[H, W]` uint8, in order.

    Raises:
        ArtifactError, UsageError: if the artifact cannot be opened, or an image is not 8-bit RGB.
    """
    runner = _opened(artifact)
    return (runner.segment(image) for image in images)


def profile(
    artifact: PathLike, *, images: "Iterable[Image]", threads: tuple[int, ...] = (1, 2), warmup: int = 5, runs: int = 30
) -> "HostProfile":
    """Measure a `.tflite` artifact on this machine; see `mobile_seg.profiling.host`, also for what it raises."""
    from mobile_seg.profiling.host import profile_host

    return profile_host(artifact, images=list(images), threads=threads, warmup=warmup, runs=runs)


def _opened(artifact: "PathLike | Runner") -> "Runner":
    from mobile_seg.verify.runners import Runner, open_artifact

    return artifact if isinstance(artifact, Runner) else open_artifact(artifact)


def _model_for(path: PathLike, precision: str, dataset: Dataset) -> tuple[Any, Manifest]:
    """Load a `.keras` model in the form that `precision` needs, with its manifest."""
    from mobile_seg.data.calibration import calibration_batches
    from mobile_seg.quantization.calibrate import calibrate
    from mobile_seg.quantization.rewrite import insert_quantizers, is_quantized
    from mobile_seg.quantization.settle import settle
    from mobile_seg.verify.keras_runner import load_keras
    from mobile_seg.verify.runners import require_manifest

    if Path(path).suffix != ".keras":
        raise UsageError(f"{path} is not a .keras model; exports start from the one that training saved.")
    manifest = require_manifest(path)
    network = load_keras(path)
    if precision != "int8":
        if is_quantized(network):
            raise UsageError(f"{path} is quantized; export {precision} from the float model beside it.")
        return network, manifest
    if not is_quantized(network):
        network = insert_quantizers(network)
        calibrate(network, calibration_batches(dataset, size=(manifest.input.height, manifest.input.width)))
        settle(network)
    return network, manifest


def _fit(
    network: Any,
    dataset: Dataset,
    recipe: Recipe,
    name: str,
    folder: Path,
    key: str,
    evaluate_every: int,
    resume: bool,
    progress: Progress | None,
) -> None:
    from mobile_seg.data.readers import read_split
    from mobile_seg.data.stream import TrainStream
    from mobile_seg.evaluation.evaluate import evaluate as score
    from mobile_seg.files import write_json
    from mobile_seg.training.loop import Phase, fit
    from mobile_seg.verify.keras_runner import KerasRunner

    manifest = keras_manifest(network, dataset.classes, dataset.palette, precision=name, name=network.name)
    runner = KerasRunner(network, manifest=manifest)

    def miou() -> float:
        return score(runner.segment, read_split(dataset, "val"), classes=len(dataset.classes)).miou

    def batches(step: int) -> TrainStream:
        return TrainStream(dataset, size=runner.input_size, batch=recipe.batch, seed=recipe.seed, start_step=step)

    phase = Phase(name, folder, key, evaluate=miou, evaluate_every=evaluate_every, resume=resume)
    history = fit(network, batches, recipe, phase=phase, progress=progress)
    write_json(folder / f"{name}.history.json", history)
