"""One phase of training, float or quantization-aware: the dataset's stream, the fit loop, scores on the way."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg.data.description import Dataset
from mobile_seg.files import write_bytes
from mobile_seg.keras_file import keras_manifest
from mobile_seg.training.recipe import OPTIMIZERS, Recipe

if TYPE_CHECKING:
    from mobile_seg.verify.runners import Runner

Progress = Callable[[int, int, str], None]
"""`progress(done, total, text)`."""

PathLike = str | os.PathLike[str]

FLOAT_RECIPE = Recipe(steps=4000, batch=8, optimizer="adamw", learning_rate=OPTIMIZERS["adamw"], clip_norm=1.0)
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
    keep_best: bool = False,
    **hooks: Any,
) -> None:
    """Train `network` in place; checkpoint, scalars and `{name}.history.json` go to `folder`.

    With `keep_best` the model is left as it scored best on the validation images, at the start included; what
    scored so lies in `{name}.best.npz`, for a run that is resumed. `hooks` are the `milestones` and `refresh` of
    `mobile_seg.training.loop.Phase`.

    Raises:
        MobileSegError: as `mobile_seg.training.loop.fit` does.
    """
    from mobile_seg.data.stream import TrainStream
    from mobile_seg.files import write_json
    from mobile_seg.training.loop import Phase, fit

    runner = keras_runner(network, dataset)

    def batches(step: int) -> TrainStream:
        return TrainStream(dataset, size=runner.input_size, batch=recipe.batch, seed=recipe.seed, start_step=step)

    best = Best(network, folder / f"{name}.best.npz", key, lambda: miou(runner, dataset))
    if keep_best:
        best.begin(resume=resume)
    phase = Phase(
        name,
        folder,
        key,
        evaluate=best if keep_best else best.measure,
        evaluate_every=evaluate_every,
        resume=resume,
        **hooks,
    )
    history = fit(network, batches, recipe, phase=phase, progress=progress)
    write_json(folder / f"{name}.history.json", history)
    if keep_best:
        best.restore()


class Best:
    """Measures a model when called, and remembers the weights that measured best, in a file."""

    def __init__(self, network: Any, path: Path, key: str, measure: Callable[[], float]) -> None:
        self.network, self.path, self.key, self.measure = network, path, key, measure
        self.value = -1.0

    def begin(self, *, resume: bool) -> None:
        """Start from what an interrupted run of the same settings remembered, or from the model as it is."""
        import numpy as np

        if resume and self.path.is_file():
            with np.load(self.path, allow_pickle=False) as kept:
                if str(kept["key"]) == self.key:
                    self.value = float(kept["value"])
        if self.value < 0:
            self()

    def __call__(self) -> float:
        """Measure; keep the weights if they are better than all before."""
        import numpy as np

        value = self.measure()
        if value > self.value:
            self.value, content = value, io.BytesIO()
            weights = {f"weight/{number}": weight for number, weight in enumerate(self.network.get_weights())}
            np.savez(content, key=np.asarray(self.key), value=np.asarray(value), **weights)
            write_bytes(self.path, content.getvalue())
        return value

    def restore(self) -> None:
        """Put the best weights into the model."""
        import numpy as np

        with np.load(self.path, allow_pickle=False) as kept:
            count = sum(name.startswith("weight/") for name in kept.files)
            self.network.set_weights([kept[f"weight/{number}"] for number in range(count)])


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
