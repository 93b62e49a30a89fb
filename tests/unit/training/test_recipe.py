"""The recipe: its ranges, the schedule, the average, the decay."""

import math
from typing import Any

import keras
import numpy as np
import pytest
from unit.training import tiny

from mobile_seg.errors import UsageError
from mobile_seg.training.recipe import OPTIMIZERS, Recipe, optimizer

RECIPE = Recipe(steps=200, learning_rate=0.4, warmup=0.1)


def rate_at(recipe: Recipe, step: int) -> float:
    return float(optimizer(recipe, [])._learning_rate(step))


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.004),  # a hundredth of the peak, so that the very first step does something
        (10, 0.202),
        (20, 0.4),
        (110, 0.2),  # halfway between warm-up's end and the end
        (200, 0.0),
    ],
)
def test_cosine_after_a_linear_warm_up(step: int, rate: float) -> None:
    assert rate_at(RECIPE, step) == pytest.approx(rate, abs=1e-6)


def test_without_warm_up_the_first_step_is_at_the_peak() -> None:
    recipe = Recipe(steps=100, learning_rate=0.4, warmup=0.0)
    assert rate_at(recipe, 0) == pytest.approx(0.4)
    assert rate_at(recipe, 25) == pytest.approx(0.2 * (1 + math.cos(math.pi / 4)), rel=1e-5)


@pytest.mark.parametrize(
    ("steps", "decay"), [(1, 0.5), (20, 0.5), (100, 0.9), (4000, 0.9975), (50_000, 0.9998), (500_000, 0.9998)]
)
def test_the_average_spans_at_most_a_tenth_of_the_run(steps: int, decay: float) -> None:
    recipe = Recipe(steps=steps)
    assert recipe.effective_ema_decay == pytest.approx(decay)
    assert optimizer(recipe, []).ema_momentum == recipe.effective_ema_decay


def test_a_smaller_decay_is_kept() -> None:
    assert Recipe(steps=4000, ema_decay=0.9).effective_ema_decay == 0.9


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": 2.5},
        {"batch": 0},
        {"learning_rate": -0.1},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"momentum": 1.0},
        {"weight_decay": math.nan},
        {"clip_norm": -1.0},
        {"warmup": 1.0},
        {"ema_decay": 1.0},
        {"label_smoothing": 1.0},
        {"seed": -1},
        {"seed": 0.5},
    ],
)
def test_what_is_out_of_range_is_named(wrong: dict[str, Any]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(UsageError, match=f"{name}={value}"):
        Recipe(**{"steps": 10, **wrong})


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(UsageError, match=r"optimizer='adam' is not known; choose from sgd, adamw.* 'adamw'"):
        Recipe(steps=10, optimizer="adam")


def step_with_no_gradient(**settings: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Path of each trainable variable → (before, after) a step whose gradients are zero."""
    model = tiny.network()
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 2.0))
    rate = optimizer(Recipe(steps=100, learning_rate=0.5, warmup=0.0, **settings), model.trainable_variables)
    before = {v.path: np.array(v.numpy()) for v in model.trainable_variables}
    rate.apply([np.zeros(v.shape, np.float32) for v in model.trainable_variables], model.trainable_variables)
    return {v.path: (before[v.path], np.array(v.numpy())) for v in model.trainable_variables}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_only_dense_kernels_decay(kind: str) -> None:
    steps = step_with_no_gradient(optimizer=kind, weight_decay=0.1)
    decayed = {path for path, (before, after) in steps.items() if not np.array_equal(before, after)}
    assert decayed == {"stem_conv/kernel", "classify_conv/kernel"}
    assert {"mix_depthwise/kernel", "stem_bn/gamma", "stem_bn/beta", "classify_conv/bias"} == set(steps) - decayed
    _, after = steps["stem_conv/kernel"]
    np.testing.assert_allclose(after, 2.0 * (1 - 0.1 * 0.5), rtol=1e-6)


def test_momentum_and_average_by_hand() -> None:
    """Two steps of SGD with momentum 0.9 and the average of the weights, in plain arithmetic."""
    recipe = Recipe(steps=100, learning_rate=0.5, warmup=0.0, weight_decay=0.0)
    variable = keras.Variable(np.float32(1.0), name="kernel")
    rate = optimizer(recipe, [variable])
    weight, velocity, average = 1.0, 0.0, 0.0
    for step, gradient in enumerate((1.0, -3.0, 0.5)):
        learning_rate = 0.25 * (1 + math.cos(math.pi * step / 100))
        velocity = 0.9 * velocity - learning_rate * gradient
        weight += velocity
        average = weight if step == 0 else 0.9 * average + 0.1 * weight
        rate.apply([np.float32(gradient)], [variable])
        assert float(variable.numpy()) == pytest.approx(weight, rel=1e-5)
    rate.finalize_variable_values([variable])
    assert float(variable.numpy()) == pytest.approx(average, rel=1e-5)


@pytest.mark.parametrize(("clip_norm", "moved"), [(0.0, (3.0, 4.0)), (1.0, (0.6, 0.8)), (10.0, (3.0, 4.0))])
def test_gradients_are_clipped_together(clip_norm: float, moved: tuple[float, float]) -> None:
    recipe = Recipe(steps=100, learning_rate=1.0, warmup=0.0, weight_decay=0.0, clip_norm=clip_norm)
    variables = [keras.Variable(np.float32(0.0), name=name) for name in ("one", "two")]
    optimizer(recipe, variables).apply([np.float32(3.0), np.float32(4.0)], variables)
    assert [-float(variable.numpy()) for variable in variables] == pytest.approx(moved, rel=1e-5)


def test_adamw_and_average_by_hand() -> None:
    """Steps of Adam (arXiv:1412.6980, algorithm 1) and the average of the weights, in plain arithmetic."""
    recipe = Recipe(steps=100, optimizer="adamw", learning_rate=0.5, warmup=0.0, weight_decay=0.0)
    variable = keras.Variable(np.float32(1.0), name="kernel")
    rate = optimizer(recipe, [variable])
    weight, mean, square, average = 1.0, 0.0, 0.0, 0.0
    for step, gradient in enumerate((1.0, -3.0, 0.5)):
        learning_rate = 0.25 * (1 + math.cos(math.pi * step / 100))
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        whole, spread = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        weight -= learning_rate * whole / math.sqrt(spread)
        average = weight if step == 0 else 0.9 * average + 0.1 * weight
        rate.apply([np.float32(gradient)], [variable])
        assert float(variable.numpy()) == pytest.approx(weight, rel=1e-4)
    rate.finalize_variable_values([variable])
    assert float(variable.numpy()) == pytest.approx(average, rel=1e-4)
