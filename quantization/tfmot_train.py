"""Training a `tf_keras` model by the same recipe as ours: a plain loop, since TF-MOT's wrappers need its callbacks."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mobile_seg.errors import MobileSegError
from mobile_seg.quantization.tf_keras_twin import load_extra

Progress = Callable[[int, int, str], None]
"""`progress(done, total, text)`."""

LOG_EVERY = 20


class Schedule(Protocol):
    """How long and how fast: the fields read of `mobile_seg.training.recipe.Recipe`, which is one."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""

    @property
    def optimizer(self) -> str:
        """`sgd` or `adamw`."""

    @property
    def learning_rate(self) -> float:
        """The peak, reached after the warm-up; a cosine leads from there to 0."""

    @property
    def momentum(self) -> float:
        """Of SGD."""

    @property
    def weight_decay(self) -> float:
        """Decoupled: each step takes this times the learning rate of a weight."""

    @property
    def clip_norm(self) -> float:
        """The largest norm of all gradients together; 0: no limit."""

    @property
    def warmup(self) -> float:
        """Share of the steps in which the rate rises linearly."""

    @property
    def effective_ema_decay(self) -> float:
        """Decay of the weights' moving average, which is what training leaves in the model."""


@dataclass(frozen=True)
class Trained:
    """The loss every 20 steps and at the end, as `step, loss, lr, seconds` rows, and the median step's seconds.

    A step is timed from its batch being in memory to its loss being known; the first, which traces the
    graph, is left out, so one step alone has no median.
    """

    history: tuple[dict[str, float], ...]
    step_seconds: float | None


def train(
    model: Any,
    batches: Iterator[tuple[Any, Any]],
    schedule: Schedule,
    *,
    loss: Callable[[Any, Any], Any],
    undecayed: Sequence[str] = (),
    progress: Progress | None = None,
) -> Trained:
    """Train a `tf_keras` model in place, TF-MOT's wrappers or none in it, and leave the averaged weights in it.

    Args:
        batches: at least `schedule.steps` pairs of images `[N, H, W, 3]`, as the model takes them, and labels.
        loss: `loss(labels, outputs)` → scalar, of TensorFlow operations.
        undecayed: a variable with one of these words in its name gets no weight decay.

    Raises:
        MobileSegError: if the loss is no longer a number.
        MissingExtraError: if the extra is not installed.
    """
    _, tfmot = load_extra()
    import tensorflow as tf

    step, optimizer = stepper(model, schedule, loss=loss, undecayed=undecayed)
    # Does nothing for a model without pruning wrappers.
    masks = tfmot.sparsity.keras.UpdatePruningStep()
    masks.set_model(model)
    masks.on_train_begin()

    history, seconds, recent = [], [], []
    begun = time.perf_counter()
    for done in range(1, schedule.steps + 1):
        images, labels = next(batches)
        started = time.perf_counter()
        recent.append(float(step(tf.convert_to_tensor(images, tf.float32), tf.convert_to_tensor(labels))))
        seconds.append(time.perf_counter() - started)
        if not math.isfinite(recent[-1]):
            raise MobileSegError("the loss is not a number any more; lower the learning rate and start again")
        if done % LOG_EVERY == 0 or done == schedule.steps:
            rate, value = float(optimizer.learning_rate), statistics.fmean(recent)
            history.append({"step": done, "loss": value, "lr": rate, "seconds": time.perf_counter() - begun})
            recent.clear()
            if progress:
                progress(done, schedule.steps, f"tfmot loss {value:.3f}")
    optimizer.finalize_variable_values(model.trainable_variables)
    # TF-MOT notes weight ranges, clusters and masks when it sees weights in training: show it the averages.
    model(tf.convert_to_tensor(images, tf.float32), training=True)
    masks.on_epoch_end(batch=-1)
    return Trained(tuple(history), statistics.median(seconds[1:]) if len(seconds) > 1 else None)


def stepper(
    model: Any, schedule: Schedule, *, loss: Callable[[Any, Any], Any], undecayed: Sequence[str] = ()
) -> tuple[Callable[[Any, Any], Any], Any]:
    """Return `step(images, labels)` → loss, which trains `model` by one step, and its optimizer.

    Raises:
        MissingExtraError: if the extra is not installed.
    """
    tf_keras, _ = load_extra()
    import tensorflow as tf

    variables = model.trainable_variables
    optimizer = _optimizer(tf_keras, schedule, variables, undecayed)

    @tf.function
    def step(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(labels, model(images, training=True))
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value

    return step, optimizer


def _optimizer(tf_keras: Any, schedule: Schedule, variables: Sequence[Any], undecayed: Sequence[str]) -> Any:
    """As `mobile_seg.training.recipe.optimizer`, in legacy Keras."""
    warmup = int(schedule.steps * schedule.warmup)
    rate = tf_keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=schedule.learning_rate * 0.01 if warmup else schedule.learning_rate,
        decay_steps=max(schedule.steps - warmup, 1),
        warmup_target=schedule.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    shared = {
        "weight_decay": schedule.weight_decay,
        "global_clipnorm": schedule.clip_norm or None,
        "use_ema": True,
        "ema_momentum": schedule.effective_ema_decay,
    }
    if schedule.optimizer == "sgd":
        made = tf_keras.optimizers.SGD(rate, momentum=schedule.momentum, jit_compile=False, **shared)
    else:
        made = tf_keras.optimizers.AdamW(rate, jit_compile=False, **shared)
    made.exclude_from_weight_decay(var_list=[v for v in variables if any(word in v.name for word in undecayed)])
    made.build(variables)
    return made
