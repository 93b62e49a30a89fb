"""The product's verbs, as functions: build, train, analyze, quantize, export, evaluate, predict, profile.

Each takes and returns plain values: paths of model files, records of what was measured. The command line
is a thin layer over these, and `mobile_seg.job` chains them.
"""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg.data.description import load_dataset
from mobile_seg.errors import UsageError, choose
from mobile_seg.export_artifact import Exported
from mobile_seg.exporting import Exports, export, export_all
from mobile_seg.keras_file import keras_manifest, save_model
from mobile_seg.models.entry import SEMANTIC_HEADS
from mobile_seg.models.registry import build
from mobile_seg.phases import FLOAT_RECIPE as FLOAT_RECIPE
from mobile_seg.phases import QAT_RECIPE as QAT_RECIPE
from mobile_seg.phases import PathLike, Progress, train_phase
from mobile_seg.quantizing import analyze, quantize
from mobile_seg.training.recipe import Recipe

if TYPE_CHECKING:  # importing this module loads nothing heavy, so that `--help` can show its defaults
    from mobile_seg.evaluation.confusion import SegmentationScore
    from mobile_seg.imaging import Image, LabelMap
    from mobile_seg.profiling.records import HostProfile
    from mobile_seg.verify.runners import Runner

__all__ = [
    "Exported",
    "Exports",
    "analyze",
    "build",
    "evaluate",
    "export",
    "export_all",
    "predict",
    "profile",
    "quantize",
    "train",
]


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
    if len(network.outputs) != 1 or len(network.outputs[0].shape) != 4:
        raise UsageError(
            f"{model} with head={options.get('head')!r} gives no map of logits, and label maps train nothing else; "
            f"choose a head from {', '.join(SEMANTIC_HEADS)} that `mobile-seg models` lists for it."
        )
    check_dataset(dataset, progress=progress and (lambda done, total: progress(done, total, "checking the dataset")))
    chosen: dict[str, Any] = {"mixed_precision": True} if mixed_precision else {}
    chosen |= {"model": model, "input_size": input_size, "options": options}
    key = settings_key(**chosen, data=dataset_digest(dataset), recipe=recipe)
    train_phase(
        network,
        dataset,
        recipe,
        name="float",
        folder=Path(folder),
        key=key,
        evaluate_every=evaluate_every,
        resume=resume,
        progress=progress,
    )
    if mixed_precision:
        network = in_float32(network, untrained)
    manifest = keras_manifest(
        network, dataset.classes, dataset.palette, precision="float32", name=model, options=options
    )
    return save_model(network, Path(folder) / "model_float.keras", manifest)


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
