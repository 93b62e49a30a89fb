"""MIL's operations on single values, and its reductions, as NumPy. Source: coremltools' MIL reference.

Sums are taken in float32 at least, as units with half precision do.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def relu(x: np.ndarray) -> np.ndarray:
    """`max(x, 0)`."""
    return np.maximum(x, 0)


def relu6(x: np.ndarray) -> np.ndarray:
    """`min(max(x, 0), 6)`."""
    return np.clip(x, 0, 6)


def clip(x: np.ndarray, alpha: Any, beta: Any) -> np.ndarray:
    """`min(max(x, alpha), beta)`."""
    return np.clip(x, alpha, beta)


def clamped_relu(x: np.ndarray, alpha: Any, beta: Any) -> np.ndarray:
    """`min(beta, x)` where x is positive, else `alpha * x`, at most beta."""
    return np.where(x >= 0, np.minimum(beta, x), np.minimum(beta, alpha * x))


def leaky_relu(x: np.ndarray, alpha: Any) -> np.ndarray:
    """`x` where it is positive, else `alpha * x`."""
    return np.where(x >= 0, x, alpha * x)


def prelu(x: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`x` where it is positive, else x times its channel's alpha; channels are axis 1."""
    return np.where(x >= 0, x, x * alpha.reshape(-1, *[1] * (x.ndim - 2)))


def elu(x: np.ndarray, alpha: Any = 1.0) -> np.ndarray:
    """`x` where it is positive, else `alpha * (exp(x) - 1)`."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """`1 / (1 + exp(-x))`."""
    return 1 / (1 + np.exp(-x))


def sigmoid_hard(x: np.ndarray, alpha: Any = 0.2, beta: Any = 0.5) -> np.ndarray:
    """`min(max(alpha * x + beta, 0), 1)`."""
    return np.clip(alpha * x + beta, 0, 1)


def silu(x: np.ndarray) -> np.ndarray:
    """`x * sigmoid(x)`."""
    return x * sigmoid(x)


def softplus(x: np.ndarray) -> np.ndarray:
    """`log(1 + exp(x))`."""
    return np.logaddexp(x, np.float32(0))


def scaled_tanh(x: np.ndarray, alpha: Any = 1.0, beta: Any = 1.0) -> np.ndarray:
    """`alpha * tanh(beta * x)`."""
    return alpha * np.tanh(beta * x)


def linear_activation(x: np.ndarray, alpha: Any, beta: Any = 0.0) -> np.ndarray:
    """`alpha * x + beta`."""
    return alpha * x + beta


def erf(x: np.ndarray) -> np.ndarray:
    """The error function."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float32)


def gelu(x: np.ndarray, mode: str = "EXACT") -> np.ndarray:
    """`x * P(X <= x)` of a normal variable: by the error function, or approximated by tanh or a sigmoid."""
    if mode == "TANH_APPROXIMATION":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if mode == "SIGMOID_APPROXIMATION":
        return x * sigmoid(1.702 * x)
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def softmax(x: np.ndarray, axis: Any = -1) -> np.ndarray:
    """`exp(x) / sum(exp(x))` along an axis."""
    raised = np.exp(x - x.max(axis=int(axis), keepdims=True))
    return raised / raised.sum(axis=int(axis), keepdims=True)


def real_div(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`x / y`, in floats."""
    return np.asarray(x, np.float32) / y


def floor_div(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The largest whole number not above `x / y`."""
    return np.floor_divide(x, y)


def rsqrt(x: np.ndarray, epsilon: Any = 1e-12) -> np.ndarray:
    """`1 / sqrt(x + epsilon)`."""
    return 1 / np.sqrt(x + epsilon)


def inverse(x: np.ndarray, epsilon: Any = 1e-4) -> np.ndarray:
    """`1 / (x + epsilon)`."""
    return 1 / (x + epsilon)


def log(x: np.ndarray, epsilon: Any = 1e-45) -> np.ndarray:
    """The natural logarithm of `x + epsilon`."""
    return np.log(x + epsilon)


def select(cond: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`a` where the condition holds, else `b`."""
    return np.where(cond, a, b)


def batch_norm(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, gamma: Any = 1.0, beta: Any = 0.0, epsilon: Any = 1e-5
) -> np.ndarray:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, channels being axis 1."""
    mean, variance, gamma, beta = (np.reshape(one, (-1, *[1] * (x.ndim - 2))) for one in (mean, variance, gamma, beta))
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def layer_norm(x: np.ndarray, axes: Any = None, gamma: Any = 1.0, beta: Any = 0.0, epsilon: Any = 1e-5) -> np.ndarray:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, both taken over the axes."""
    over = tuple(range(x.ndim)) if axes is None else tuple(int(axis) for axis in np.ravel(axes))
    centred = x - x.mean(axis=over, keepdims=True)
    return gamma * centred / np.sqrt(np.square(centred).mean(axis=over, keepdims=True) + epsilon) + beta


def linear(x: np.ndarray, weight: np.ndarray, bias: Any = 0.0) -> np.ndarray:
    """`x Wᵀ + bias`: `[..., C]` and `[units, C]` → `[..., units]`."""
    return x @ weight.T + bias


def matmul(x: np.ndarray, y: np.ndarray, transpose_x: Any = False, transpose_y: Any = False) -> np.ndarray:
    """The product over the last two axes, either transposed first."""
    left = x.swapaxes(-1, -2) if bool(transpose_x) else x
    return left @ (y.swapaxes(-1, -2) if bool(transpose_y) else y)


def _reduction(compute: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def reduced(x: np.ndarray, axes: Any = None, keep_dims: Any = False) -> np.ndarray:
        over = None if axes is None else tuple(int(axis) for axis in np.ravel(axes))
        return np.asarray(compute(x, axis=over, keepdims=bool(keep_dims)))

    return reduced


def _square_sum(x: np.ndarray, **options: Any) -> np.ndarray:
    return np.square(x).sum(**options)


def reduce_argmax(x: np.ndarray, axis: Any = -1, keep_dims: Any = False, output_dtype: str = "int32") -> np.ndarray:
    """The position of the largest value; of equal ones the first (Core ML promises none of them)."""
    found = x.argmax(axis=int(axis))
    return (np.expand_dims(found, int(axis)) if bool(keep_dims) else found).astype(output_dtype)


_PLAIN: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "maximum": lambda x, y: np.maximum(x, y),
    "minimum": lambda x, y: np.minimum(x, y),
    "pow": lambda x, y: np.power(x, y),
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "abs": lambda x: np.abs(x),
    "exp": lambda x: np.exp(x),
    "sqrt": lambda x: np.sqrt(x),
    "square": lambda x: np.square(x),
    "tanh": lambda x: np.tanh(x),
    "floor": lambda x: np.floor(x),
    "ceil": lambda x: np.ceil(x),
    "round": lambda x: np.round(x),
    "sign": lambda x: np.sign(x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "reduce_mean": _reduction(np.mean),
    "reduce_sum": _reduction(np.sum),
    "reduce_max": _reduction(np.max),
    "reduce_min": _reduction(np.min),
    "reduce_sum_square": _reduction(_square_sum),
}
"""What the name says, NumPy's broadcasting being MIL's; `round` takes ties to even."""

OPERATIONS: dict[str, Callable[..., Any]] = _PLAIN | {
    function.__name__: function
    for function in (
        relu,
        relu6,
        clip,
        clamped_relu,
        leaky_relu,
        prelu,
        elu,
        sigmoid,
        sigmoid_hard,
        silu,
        softplus,
        scaled_tanh,
        linear_activation,
        erf,
        gelu,
        softmax,
        real_div,
        floor_div,
        rsqrt,
        inverse,
        log,
        select,
        batch_norm,
        layer_norm,
        linear,
        matmul,
        reduce_argmax,
    )
}
