"""A network of two convolutions and batches it can learn, small enough to train in a blink.

Run as a program it trains one phase and kills itself on the way: `python -m unit.training.tiny FOLDER MOMENT`.
"""

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.training.recipe import Recipe

SIZE = 16, 24
CLASSES = 3
RECIPE = Recipe(steps=40, batch=4, learning_rate=0.1, warmup=0.1, label_smoothing=0.05)
KEY = '{"recipe": "tiny"}'
TOLERANCE = 1e-6
"""Largest difference of any weight between a resumed and an uninterrupted run.

Everything that decides a step is restored to the last bit; what is left is the order in which a
convolution's threads add up, some float32 roundings (6e-8) of weights around 1.
"""


def network(seed: int = 0) -> Any:
    """Build it: `[N, 16, 24, 3]` to logits `[N, 8, 12, 3]`, with normalization and a depthwise convolution."""
    import keras

    keras.utils.set_random_seed(seed)
    image = keras.Input((*SIZE, 3), name="image")
    x = keras.layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name="stem_bn")(x)
    x = keras.layers.ReLU(6, name="stem_act")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="mix_depthwise")(x)
    x = keras.layers.Conv2D(CLASSES, 1, name="classify_conv")(x)
    return keras.Model(image, x, name="tiny")


def stand_in(name: str, *, input_size: tuple[int, int], classes: int, width: int = 8) -> Any:
    """What `mobile_seg.build` takes and returns, in small: `[N, H, W, 3]` to `[N, H/4, W/4, classes]`."""
    import keras

    image = keras.Input((*input_size, 3), name="image")
    x = keras.layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    for number in range(2):
        conv = keras.layers.Conv2D(width, 3, 2, padding="same", use_bias=False, name=f"b{number}_conv")
        x = keras.layers.BatchNormalization(momentum=0.5, name=f"b{number}_bn")(conv(x))
        x = keras.layers.Activation("relu6", name=f"b{number}_act")(x)
    return keras.Model(image, keras.layers.Conv2D(classes, 1, name="classify_conv")(x), name=name)


class Batches:
    """Batch number k is a function of k: each pixel's class is its brightest channel, a border is ignored."""

    def __init__(self, step: int, *, before: Callable[[int], None] = lambda step: None) -> None:
        self.step = step
        self._before = before
        self.closed = False

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.closed = True

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        self._before(self.step)
        images, labels = batch(self.step)
        self.step += 1
        return images, labels


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return batch number `step`."""
    rng = np.random.default_rng(step)
    coarse = rng.uniform(0, 255, (RECIPE.batch, SIZE[0] // 4, SIZE[1] // 4, 3))
    images = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)
    labels = images.argmax(-1).astype(np.int32)
    labels[:, :2] = 255
    return images, labels


def phase(folder: Path, **changes: Any) -> Any:
    """A phase that logs every 5 steps and saves every 10."""
    from mobile_seg.training.loop import Phase

    usual = Phase("float", folder, KEY, log_every=5, checkpoint_every=10, evaluate_every=10)
    return dataclasses.replace(usual, **changes)


def train(folder: Path, *, before: Callable[[int], None] = lambda step: None, **changes: Any) -> tuple[Any, Any]:
    """Train a new network; return it and its history. `before(step)` is called as each batch is asked for."""
    from mobile_seg.training.loop import fit

    model = network()
    history = fit(model, lambda step: Batches(step, before=before), RECIPE, phase=phase(folder, **changes))
    return model, history


def train_steps(steps: int) -> tuple[Any, list[float]]:
    """Take some steps outside the loop; return the network, compiled, and the losses."""
    from mobile_seg.training.losses import SegmentationLoss
    from mobile_seg.training.recipe import optimizer

    model = network()
    model.compile(optimizer=optimizer(RECIPE, model.trainable_variables), loss=SegmentationLoss())
    return model, [float(model.train_on_batch(*batch(step))) for step in range(steps)]


def main(folder: str, moment: str) -> None:
    """Train until `moment`: `step` is inside the 27th step, `checkpoint` is while the second one is written."""

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if moment == "checkpoint":
        replace, calls = os.replace, []

        def dying_replace(source: str, target: str) -> None:
            calls.append(target)
            if len(calls) == 2:
                kill()
            replace(source, target)

        os.replace = dying_replace  # type: ignore[assignment]
    train(Path(folder), before=lambda step: kill() if moment == "step" and step == 26 else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
