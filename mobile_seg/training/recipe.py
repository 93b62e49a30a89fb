"""How long and how fast to train, as one record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mobile_seg.errors import UsageError, choose

UNDECAYED = ("gamma", "beta", "bias", "depthwise", "range_min", "range_max")
"""Variables whose path holds one of these get no weight decay."""

OPTIMIZERS = {"sgd": 0.1, "adamw": 0.003}
"""Each with a peak learning rate for small sets and batches of 8, from random weights."""


@dataclass(frozen=True)
class Recipe:
    """SGD with momentum, cosine schedule after a linear warm-up, EMA of the weights (SpineNet-Seg sec. 5).

    `learning_rate` is the peak; the paper's 0.08 at batch 256 is 0.0025 at batch 8 by linear scaling, but
    from random weights on small sets a higher peak trains better. `optimizer` is `sgd` or `adamw` (arXiv:1711.05101),
    which has no use for `momentum`. `ema_decay` is capped so that the average spans at most a tenth of the run:
    0.9998 remembers 5000 steps. `clip_norm` is the largest norm of all gradients together, 0 for no limit.
    """

    steps: int
    batch: int = 8
    optimizer: str = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 4e-5
    clip_norm: float = 0.0
    warmup: float = 0.05
    ema_decay: float = 0.9998
    label_smoothing: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        choose("optimizer", self.optimizer, tuple(OPTIMIZERS))
        for name in ("steps", "batch", "seed"):
            if not isinstance(getattr(self, name), int):
                raise UsageError(f"{name}={getattr(self, name)!r} is not a whole number; give one.")
        for name, low, high in (
            ("steps", 1, None),
            ("batch", 1, None),
            ("learning_rate", 0, None),
            ("momentum", 0, 1),
            ("weight_decay", 0, None),
            ("clip_norm", 0, None),
            ("warmup", 0, 1),
            ("ema_decay", 0, 1),
            ("label_smoothing", 0, 1),
            ("seed", 0, None),
        ):
            value = getattr(self, name)
            inside = low <= value < (math.inf if high is None else high)  # false for NaN too
            if not inside:
                span = f"at least {low}" if high is None else f"from {low} up to but not including {high}"
                raise UsageError(f"{name}={value} is out of range: {span}.")

    @property
    def effective_ema_decay(self) -> float:
        """The decay used: `ema_decay`, or what spans a tenth of the run if that is shorter."""
        return min(self.ema_decay, 1.0 - 10.0 / max(self.steps, 20))


def optimizer(recipe: Recipe, variables: Sequence[Any]) -> Any:
    """The Keras optimizer of a recipe for a model's trainable variables.

    The decay is decoupled: each step takes `weight_decay * learning rate` of a weight, past the momentum.
    """
    import keras

    warmup = int(recipe.steps * recipe.warmup)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate * 0.01 if warmup else recipe.learning_rate,
        decay_steps=max(recipe.steps - warmup, 1),
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    shared = {
        "weight_decay": recipe.weight_decay,
        "global_clipnorm": recipe.clip_norm or None,
        "use_ema": True,
        "ema_momentum": recipe.effective_ema_decay,
    }
    if recipe.optimizer == "sgd":
        made = keras.optimizers.SGD(schedule, momentum=recipe.momentum, **shared)
    else:
        made = keras.optimizers.AdamW(schedule, **shared)
    # Not by `var_names`: Keras compares those with paths on TensorFlow, with bare names on JAX.
    made.exclude_from_weight_decay(var_list=[v for v in variables if any(word in v.path for word in UNDECAYED)])
    return made
