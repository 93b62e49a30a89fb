"""The fit loop: one for the float phase and the quantization-aware phase, on either backend."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from mobile_seg.errors import MobileSegError, UsageError
from mobile_seg.training import checkpoint as checkpoints
from mobile_seg.training.interruption import Interruption
from mobile_seg.training.losses import SegmentationLoss
from mobile_seg.training.recipe import Recipe, optimizer
from mobile_seg.training.scalars import Scalars

Progress = Callable[[int, int, str], None]
"""`progress(done, total, text)`."""

Change = Callable[[keras.Model], Any]
"""Something done to the model that is being trained, in place."""


class Batches(Protocol):
    """An endless, closable source of (images `[N, H, W, 3]`, labels `[N, H, W]`)."""

    def __enter__(self) -> "Batches": ...
    def __exit__(self, *exception: Any) -> None: ...
    def __next__(self) -> tuple[Any, Any]: ...


@dataclasses.dataclass(frozen=True)
class Phase:
    """One stretch of training and where its traces go.

    `evaluate` is called with the averaged weights in place every `evaluate_every` steps and at the end;
    its value is recorded as `miou`. `key` ties a checkpoint to its settings. `milestones` maps a number of steps
    to what is done to the model after them, at the next row of the history; a resumed run does at its start
    what is past. `refresh` is done to the model before every row.
    """

    name: str
    folder: Path
    key: str
    evaluate: Callable[[], float] | None = None
    evaluate_every: int = 500
    checkpoint_every: int = 100
    log_every: int = 20
    resume: bool = False
    milestones: Mapping[int, Change] = dataclasses.field(default_factory=dict)
    refresh: Change | None = None

    def __post_init__(self) -> None:
        for name in ("evaluate_every", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)}: give at least 1")

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
    where evaluated, `miou`: plain numbers. `open_batches(step)` returns the batches from that step on, so
    a resumed run sees what an uninterrupted one would have seen and ends with the same weights. Ctrl-C
    ends the step, saves a checkpoint and leaves; a second one leaves at once.

    Raises:
        CheckpointError: if `phase.resume` meets a checkpoint of other settings, or a damaged one.
        MobileSegError: if the loss is no longer a number; the last checkpoint then is a sound one.
        DiskError: if the disk is full.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is saved.
    """
    rate = optimizer(recipe, model.trainable_variables)
    # XLA on the CPU compiles for minutes and gains nothing; the JAX backend always compiles.
    model.compile(
        optimizer=rate, loss=SegmentationLoss(label_smoothing=recipe.label_smoothing), jit_compile=_jit_compile()
    )
    checkpoints.remove_leftovers(phase.checkpoint)
    done = 0
    history: list[dict[str, Any]] = []
    if phase.resume and phase.checkpoint.is_file():
        done, history = checkpoints.load(phase.checkpoint, model, key=phase.key)
    # Rows of older checkpoints have no seconds.
    started = time.perf_counter() - (history[-1].get("seconds", 0.0) if history else 0.0)
    curves = Scalars(phase.folder / "tensorboard" / phase.name, start=done)
    with curves, open_batches(done) as batches, Interruption() as interruption:
        ahead = _pass_milestones(model, dict(phase.milestones), done)
        while done < recipe.steps:
            stop = min(done + phase.log_every - done % phase.log_every, recipe.steps)
            loss, taken, speed = _run(model, batches, stop - done, interruption)
            done += taken
            if done == stop:
                if phase.refresh:
                    phase.refresh(model)
                row = _row(model, phase, step=done, last=done == recipe.steps, loss=loss, started=started)
                history.append(row)
                curves.write(done, {name: value for name, value in row.items() if name != "step"})
                if progress:
                    progress(done, recipe.steps, f"{phase.name} loss {loss:.3f} ({speed:.1f} images/s)")
            due = done == recipe.steps or _crossed(done, phase.log_every, phase.checkpoint_every)
            if due or interruption.requested:
                _refuse_broken(model)
                checkpoints.save(phase.checkpoint, model, step=done, history=history, key=phase.key)
            ahead = _pass_milestones(model, ahead, done)
            if interruption.requested:
                raise KeyboardInterrupt(f"stopped after step {done} of {phase.name}; go on with --resume")
    _take_averages(model)
    return history


def _pass_milestones(model: keras.Model, ahead: dict[int, Change], done: int) -> dict[int, Change]:
    """Do what is due after `done` steps; return what is still ahead."""
    due = [change for step, change in ahead.items() if step <= done]
    for change in due:
        change(model)
    if due:
        # The old training function has compiled what the model was.
        model.make_train_function(force=True)
    return {step: change for step, change in ahead.items() if step > done}


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Put the averaged weights into a model that is being trained, and its own back, to the last bit.

    `keras.callbacks.SwapEMAWeights` swaps by adding and subtracting, which rounds: how often a run was
    evaluated would then change its weights.
    """
    kept = [ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    _take_averages(model)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)


def _take_averages(model: keras.Model) -> None:
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # On JAX it now shares the average's buffer, which the next prediction would give away for good.
        variable.assign(ops.convert_to_numpy(variable))


def _run(model: keras.Model, batches: Batches, steps: int, interruption: Interruption) -> tuple[float, int, float]:
    """Take `steps` steps, or fewer if interrupted; return their mean loss, how many, and images per second."""
    model.reset_metrics()
    started, images, taken, loss = time.perf_counter(), 0, 0, math.nan
    while taken < steps and not (taken and interruption.requested):
        pixels, labels = next(batches)
        loss = float(model.train_on_batch(pixels, labels))
        images += len(pixels)
        taken += 1
    if not math.isfinite(loss):
        raise _diverged()
    return loss, taken, images / (time.perf_counter() - started)


def _row(model: keras.Model, phase: Phase, *, step: int, last: bool, loss: float, started: float) -> dict[str, Any]:
    """The history's row after `step` steps, evaluated where that is due."""
    row = {"step": step, "loss": loss, "lr": float(ops.convert_to_numpy(model.optimizer.learning_rate))}
    if phase.evaluate and (last or _crossed(step, phase.log_every, phase.evaluate_every)):
        with averaged_weights(model):
            row["miou"] = float(phase.evaluate())
    return {**row, "seconds": time.perf_counter() - started}


def _refuse_broken(model: keras.Model) -> None:
    """Refuse to save weights that the last step broke: its loss was taken before."""
    if not all(np.isfinite(ops.convert_to_numpy(variable)).all() for variable in model.variables):
        raise _diverged()


def _diverged() -> MobileSegError:
    return MobileSegError("the loss is not a number any more; lower the learning rate and start again")


def _crossed(done: int, stride: int, every: int) -> bool:
    return done // every > (done - stride) // every


def _jit_compile() -> bool:
    return keras.backend.backend() == "jax"
