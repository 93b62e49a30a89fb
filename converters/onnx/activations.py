"""Activation functions as ONNX nodes: one function per rule, whose docstring is the rule."""

import math
from collections.abc import Callable
from typing import Any

import keras

from mobile_seg.converters.onnx.graph import Builder, Value
from mobile_seg.converters.onnx.site import Site, unsupported

Activation = Callable[[Builder, Value, str], Value]
"""`activation(made, x, name)`: the nodes that compute it, the last one called `name`."""


def activated(site: Site, function: Any, x: Value, layer: Any) -> Value:
    """A layer's activation function, applied to what it computed.

    Raises:
        UnsupportedLayerError: for a function that no rule is for.
    """
    if function is keras.activations.linear:
        return x
    limits = CLAMPS.get(function)
    if limits is not None and site.clamps_anyway(layer.name, *limits):
        return x
    rule = ACTIVATIONS.get(function)
    if rule is None:
        name = getattr(function, "__name__", type(function).__name__)
        raise unsupported(
            layer,
            f"has the activation {name}, which has no ONNX nodes here",
            f"choose from {', '.join(sorted(one.__name__ for one in ACTIVATIONS))}",
        )
    return rule(site.made, x, f"{layer.name}_activation" if hasattr(layer, "kernel") else layer.name)


def node(kind: str, **attributes: Any) -> Activation:
    """An activation that ONNX has as one operator."""

    def rule(made: Builder, x: Value, name: str) -> Value:
        return made.computed(kind, [made.floats(x)], x, name, **attributes)

    return rule


def clip(made: Builder, x: Value, name: str, low: float, high: float) -> Value:
    """A clamp is Relu from zero up, else Clip; an end at infinity is left out."""
    if (low, high) == (0.0, math.inf):
        return made.computed("Relu", [made.floats(x)], x, name)
    ends = [made.constant(low, "low") if low > -math.inf else ""]
    ends += [made.constant(high, "high")] if high < math.inf else []
    return made.computed("Clip", [made.floats(x), *ends], x, name)


def clamp(low: float, high: float) -> Activation:
    """An activation that only clamps."""
    return lambda made, x, name: clip(made, x, name, low, high)


def over_channels(kind: str) -> Activation:
    """A function over the last axis, which is the second one of an image."""

    def rule(made: Builder, x: Value, name: str) -> Value:
        return made.computed(kind, [made.floats(x)], x, name, axis=1 if x.image else len(x.shape) - 1)

    return rule


def silu(made: Builder, x: Value, name: str) -> Value:
    """Swish is the tensor times its Sigmoid."""
    gate = made.computed("Sigmoid", [made.floats(x)], x, f"{name}_gate")
    return made.computed("Mul", [made.floats(x), made.floats(gate)], x, name)


def mish(made: Builder, x: Value, name: str) -> Value:
    """Mish is the tensor times the Tanh of its Softplus."""
    soft = made.computed("Softplus", [made.floats(x)], x, f"{name}_softplus")
    gate = made.computed("Tanh", [made.floats(soft)], x, f"{name}_gate")
    return made.computed("Mul", [made.floats(x), made.floats(gate)], x, name)


def gelu(made: Builder, x: Value, name: str) -> Value:
    """GELU is half the tensor times one plus Erf of it over the root of two; an operator since opset 20 only."""
    numbers = {"root": 1.0 / math.sqrt(2.0), "one": 1.0, "half": 0.5}
    root, one, half = (made.constant(value, label) for label, value in numbers.items())
    scaled = made.node("Mul", [made.floats(x), root], f"{name}_scaled")
    share = made.node("Add", [made.node("Erf", [scaled], f"{name}_erf"), one], f"{name}_share")
    halved = made.node("Mul", [made.floats(x), half], f"{name}_halved")
    return made.computed("Mul", [halved, share], x, name)


def log_sigmoid(made: Builder, x: Value, name: str) -> Value:
    """The logarithm of a sigmoid is minus the Softplus of minus the tensor."""
    minus = made.node("Neg", [made.floats(x)], f"{name}_minus")
    return made.computed("Neg", [made.node("Softplus", [minus], f"{name}_softplus")], x, name)


CLAMPS: dict[Any, tuple[float, float]] = {
    keras.activations.relu: (0.0, math.inf),
    keras.activations.relu6: (0.0, 6.0),
    keras.activations.hard_tanh: (-1.0, 1.0),
}
"""Activation function → the range it clamps to."""

ACTIVATIONS: dict[Any, Activation] = {
    **{function: clamp(*limits) for function, limits in CLAMPS.items()},
    keras.activations.linear: lambda made, x, name: x,
    keras.activations.sigmoid: node("Sigmoid"),
    keras.activations.tanh: node("Tanh"),
    keras.activations.softplus: node("Softplus"),
    keras.activations.softsign: node("Softsign"),
    keras.activations.exponential: node("Exp"),
    keras.activations.elu: node("Elu", alpha=1.0),
    keras.activations.selu: node("Selu"),
    keras.activations.leaky_relu: node("LeakyRelu", alpha=0.2),
    keras.activations.hard_sigmoid: node("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    keras.activations.hard_silu: node("HardSwish"),
    keras.activations.silu: silu,
    keras.activations.mish: mish,
    keras.activations.gelu: gelu,
    keras.activations.log_sigmoid: log_sigmoid,
    keras.activations.softmax: over_channels("Softmax"),
    keras.activations.log_softmax: over_channels("LogSoftmax"),
}
"""Activation function → its rule; a function that is missing here is refused by name."""
