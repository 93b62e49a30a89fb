"""One phase of training, float or quantization-aware: the dataset's stream, the fit loop, scores on the way."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg.data.description import Dataset
from mobile_seg.keras_file import keras_manifest
from mobile_seg.training.recipe import Recipe

if TYPE_CHECKING:
    from mobile_seg.verify.runners import Runner

Progress = Callable[[int, int, str], None]
"""`progress(done, total, text)`."""

PathLike = str | os.PathLike[str]

FLOAT_RECIPE = Recipe(steps=4000, batch=8, learning_rate=0.1)
QAT_RECIPE = Recipe(steps=500, batch=8, learning_rate=0.005)


def train_phase(
    network: Any,
    dataset: Dataset,
    recipe: Recipe,
    *,
    name: str,
    folder: Path,
    key: str,
    evaluate_every: int,
    resume: bool,
    progress: Progress | None,
    **hooks: Any,
) -> None:
    """Train `network` in place; checkpoint, scalars and `{name}.history.json` go to `folder`.

    `hooks` are the `milestones` and `refresh` of `mobile_seg.training.loop.Phase`.

    Raises:
        MobileSegError: as `mobile_seg.training.loop.fit` does.
    """
    from mobile_seg.data.stream import TrainStream
    from mobile_seg.files import write_json
    from mobile_seg.training.loop import Phase, fit

    runner = keras_runner(network, dataset)

    def batches(step: int) -> TrainStream:
        return TrainStream(dataset, size=runner.input_size, batch=recipe.batch, seed=recipe.seed, start_step=step)

    phase = Phase(
        name,
        folder,
        key,
        evaluate=lambda: miou(runner, dataset),
        evaluate_every=evaluate_every,
        resume=resume,
        **hooks,
    )
    history = fit(network, batches, recipe, phase=phase, progress=progress)
    write_json(folder / f"{name}.history.json", history)


def keras_runner(network: Any, dataset: Dataset) -> "Runner":
    """The runner of a model in memory, with the dataset's classes."""
    from mobile_seg.verify.keras_runner import KerasRunner

    manifest = keras_manifest(network, dataset.classes, dataset.palette, precision="float32", name=network.name)
    return KerasRunner(network, manifest=manifest)


def miou(runner: "Runner", dataset: Dataset, *, progress: Callable[[int], None] | None = None) -> float:
    """The mIoU over the validation images."""
    from mobile_seg.data.readers import read_split
    from mobile_seg.evaluation.evaluate import evaluate

    return evaluate(runner.segment, read_split(dataset, "val"), classes=len(dataset.classes), progress=progress).miou
