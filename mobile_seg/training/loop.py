"""The fit loop: one for the float phase and the quantization-aware phase, on either backend."""

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
from keras import ops

from mobile_seg.errors import MobileSegError
from mobile_seg.training import checkpoint as checkpoints
from mobile_seg.training.losses import SegmentationLoss
from mobile_seg.training.recipe import Recipe, optimizer

Progress = Callable[[int, int, str], None]
"""`progress(done, total, text)`."""


class Batches(Protocol):
    """An endless, closable source of (images `[N, H, W, 3]`, labels `[N, H, W]`)."""

    def __enter__(self) -> "Batches": ...
    def __exit__(self, *exception: Any) -> None: ...
    def __next__(self) -> tuple[Any, Any]: ...


@dataclasses.dataclass(frozen=True)
class Phase:
    """One stretch of training and where its traces go.

    `evaluate` is called with the averaged weights in place every `evaluate_every` steps and at the end;
    its value is recorded as `miou`. `key` ties a checkpoint to its settings.
    """

    name: str
    folder: Path
    key: str
    evaluate: Callable[[], float] | None = None
    evaluate_every: int = 500
    checkpoint_every: int = 100
    log_every: int = 20
    resume: bool = False

    @property
    def checkpoint(self) -> Path:
        """The checkpoint's path."""
        return self.folder / f"{self.name}.checkpoint.npz"


def fit(
    model: keras.Model,
    open_batches: Callable[[int], Batches],
    recipe: Recipe,
    *,
    phase: Phase,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train `model` in place and leave the averaged weights in it; return the history.

    Each history row holds `step, loss, lr, seconds` (of training so far, interruptions not counted) and,
    where evaluated, `miou`. `open_batches(step)` returns
    the batches from that step on, so a resumed run sees what an uninterrupted one would have seen.

    Raises:
        CheckpointError: if `phase.resume` meets a checkpoint of other settings.
        MobileSegError: if the loss is no longer a number.
    """
    rate = optimizer(recipe)
    # XLA on the CPU compiles for minutes and gains nothing; the JAX backend always compiles.
    model.compile(
        optimizer=rate, loss=SegmentationLoss(label_smoothing=recipe.label_smoothing), jit_compile=_jit_compile()
    )
    done, history = 0, []
    if phase.resume and phase.checkpoint.is_file():
        done, history = checkpoints.load(phase.checkpoint, model, key=phase.key)
    started = time.perf_counter() - (history[-1]["seconds"] if history else 0.0)
    averaged = keras.callbacks.SwapEMAWeights()
    averaged.set_model(model)
    with _Scalars(phase.folder / "tensorboard" / phase.name) as scalars, open_batches(done) as batches:
        while done < recipe.steps:
            stop = min(done + phase.log_every - done % phase.log_every, recipe.steps)
            loss, speed = _run(model, batches, stop - done)
            done = stop
            row = {"step": done, "loss": loss, "lr": float(ops.convert_to_numpy(rate.learning_rate))}
            if phase.evaluate and (done == recipe.steps or _crossed(done, phase.log_every, phase.evaluate_every)):
                averaged.on_test_begin()
                row["miou"] = phase.evaluate()
                averaged.on_test_end()
            row["seconds"] = time.perf_counter() - started
            history.append(row)
            scalars.write(row)
            if progress:
                progress(done, recipe.steps, f"{phase.name} loss {loss:.3f} ({speed:.1f} images/s)")
            if done == recipe.steps or _crossed(done, phase.log_every, phase.checkpoint_every):
                checkpoints.save(phase.checkpoint, model, step=done, history=history, key=phase.key)
    rate.finalize_variable_values(model.trainable_variables)
    return history


def settings_key(**settings: Any) -> str:
    """A text that two runs share exactly when their settings are the same."""
    return json.dumps(settings, sort_keys=True, default=str)


def _run(model: keras.Model, batches: Batches, steps: int) -> tuple[float, float]:
    """Take `steps` steps; return their mean loss and images per second."""
    model.reset_metrics()
    started, images, loss = time.perf_counter(), 0, float("nan")
    for _ in range(steps):
        pixels, labels = next(batches)
        loss = float(model.train_on_batch(pixels, labels))
        images += len(pixels)
    if loss != loss:  # NaN, the only value unequal to itself
        raise MobileSegError("the loss is not a number any more; lower the learning rate and start again")
    return loss, images / (time.perf_counter() - started)


def _crossed(done: int, stride: int, every: int) -> bool:
    return done // every > (done - stride) // every


def _jit_compile() -> bool:
    return keras.backend.backend() == "jax"


class _Scalars:
    """TensorBoard scalars of one phase."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> "_Scalars":
        from tensorboard.summary import Writer

        self._writer = Writer(os.fspath(self._folder))
        return self

    def __exit__(self, *exception: Any) -> None:
        self._writer.close()

    def write(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, float(value), row["step"])
        self._writer.flush()
