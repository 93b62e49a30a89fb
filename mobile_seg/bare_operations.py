"""Bare `keras.ops` calls in a functional graph, said in layers: one function per kind of operation.

`x + 3.0` or `keras.ops.sigmoid(x)` on a symbolic tensor puts an operation into the graph that is no layer.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras.src.activations.activations import ReLU
from keras.src.ops import nn as nn_ops
from keras.src.ops import numpy as array_ops

from mobile_seg.errors import UnsupportedLayerError

Operation = Callable[..., Any]
"""`operation(bare, name, *arguments)`: the layers that do what `bare` does; the last one is called `name`."""


def translate(bare: Any, name: str, *arguments: Any) -> Any:
    """Build what a bare operation does from layers, and return the output tensor.

    Raises:
        UnsupportedLayerError: for an operation, or arguments of one, that no layer here stands for.
    """
    operation = OPERATIONS.get(type(bare))
    if operation is None:
        raise _refusal(bare, name, "no layer that stands for it")
    return operation(bare, name, *arguments)


def add(bare: Any, name: str, one: Any, other: Any) -> Any:
    """A sum of two tensors is an Add layer; with a constant it is a Rescaling."""
    if _both_tensors(bare, name, one, other):
        return keras.layers.Add(name=name)([one, other])
    x, constant = _sorted(bare, name, one, other)
    return _rescaled(x, name, 1.0, constant)


def subtract(bare: Any, name: str, one: Any, other: Any) -> Any:
    """A difference of two tensors is a Subtract layer; with a constant it is a Rescaling."""
    if _both_tensors(bare, name, one, other):
        return keras.layers.Subtract(name=name)([one, other])
    x, constant = _sorted(bare, name, one, other)
    return _rescaled(x, name, 1.0, -constant) if x is one else _rescaled(x, name, -1.0, constant)


def multiply(bare: Any, name: str, one: Any, other: Any) -> Any:
    """A product of two tensors is a Multiply layer; with a constant it is a Rescaling."""
    if _both_tensors(bare, name, one, other):
        return keras.layers.Multiply(name=name)([one, other])
    x, constant = _sorted(bare, name, one, other)
    return _rescaled(x, name, constant, 0.0)


def divide(bare: Any, name: str, one: Any, other: Any) -> Any:
    """A quotient by a constant is a Rescaling: no layer divides tensors."""
    if not _is_tensor(one) or _is_tensor(other):
        raise _refusal(bare, name, "no layer that divides by a tensor")
    _, constant = _sorted(bare, name, one, other)
    return _rescaled(one, name, 1.0 / constant, 0.0)


def negative(bare: Any, name: str, x: Any) -> Any:
    """A change of sign is a Rescaling by minus one."""
    return _rescaled(x, name, -1.0, 0.0)


def activation(bare: Any, name: str, x: Any) -> Any:
    """An activation function is an Activation layer."""
    return keras.layers.Activation(_ACTIVATIONS[type(bare)], name=name)(x)


def clamp(bare: Any, name: str, x: Any) -> Any:
    """`keras.activations.relu` with its arguments is a ReLU layer."""
    limits = {"max_value": bare.max_value, "negative_slope": bare.negative_slope, "threshold": bare.threshold}
    return keras.layers.ReLU(**limits, name=name)(x)


def softmax(bare: Any, name: str, x: Any) -> Any:
    """Softmax over the last axis is an Activation layer."""
    if bare.axis not in (-1, len(x.shape) - 1):
        raise _refusal(bare, name, f"no kernel over axis {bare.axis} in every runtime, only over the last")
    return keras.layers.Activation("softmax", name=name)(x)


def mean(bare: Any, name: str, x: Any) -> Any:
    """A mean over rows and columns is a GlobalAveragePooling2D."""
    axes = sorted(axis % len(x.shape) for axis in bare.axis or ())
    if len(x.shape) != 4 or axes != [1, 2]:
        raise _refusal(bare, name, f"no layer for a mean over axes {bare.axis}, only over rows and columns (1, 2)")
    return keras.layers.GlobalAveragePooling2D("channels_last", keepdims=bare.keepdims, name=name)(x)


def concatenate(bare: Any, name: str, tensors: Any) -> Any:
    """A concatenation is a Concatenate layer."""
    if len(tensors) < 2 or not all(_is_tensor(tensor) for tensor in tensors):
        raise _refusal(bare, name, "no layer unless it joins two or more tensors of the graph")
    return keras.layers.Concatenate(axis=bare.axis, name=name)(list(tensors))


def reshape(bare: Any, name: str, x: Any) -> Any:
    """A reshape that leaves the batch alone is a Reshape layer."""
    shape = bare.compute_output_spec(x).shape
    if None in shape[1:] or None in x.shape[1:] or np.prod(shape[1:]) != np.prod(x.shape[1:]):
        raise _refusal(bare, name, "no layer unless all sizes but the batch are known and the batch keeps its place")
    return keras.layers.Reshape(shape[1:], name=name)(x)


_ACTIVATIONS: dict[type, str] = {
    nn_ops.Relu: "relu",
    nn_ops.Relu6: "relu6",
    nn_ops.Sigmoid: "sigmoid",
    nn_ops.Silu: "silu",
    nn_ops.HardSigmoid: "hard_sigmoid",
    nn_ops.HardSilu: "hard_silu",
    array_ops.Tanh: "tanh",
}

OPERATIONS: dict[type, Operation] = {
    array_ops.Add: add,
    array_ops.Subtract: subtract,
    array_ops.Multiply: multiply,
    array_ops.TrueDivide: divide,
    array_ops.Divide: divide,
    array_ops.Negative: negative,
    array_ops.Mean: mean,
    array_ops.Concatenate: concatenate,
    array_ops.Reshape: reshape,
    nn_ops.Softmax: softmax,
    ReLU: clamp,
    **dict.fromkeys(_ACTIVATIONS, activation),
}
"""Keras' class of the bare operation → what it becomes; a class that is missing here is refused by name."""


def _is_tensor(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor)


def _both_tensors(bare: Any, name: str, one: Any, other: Any) -> bool:
    if not (_is_tensor(one) and _is_tensor(other)):
        return False
    if len(one.shape) != len(other.shape):  # layers align shapes from the front, operations from the back
        raise _refusal(bare, name, f"no layer for ranks {len(one.shape)} and {len(other.shape)}; reshape one of them")
    return True


def _sorted(bare: Any, name: str, one: Any, other: Any) -> tuple[Any, np.ndarray]:
    """The tensor and the constant. Constants are numbers: a variable would go on learning."""
    x, constant = (one, other) if _is_tensor(one) else (other, one)
    if isinstance(constant, keras.Variable):
        raise _refusal(bare, name, f"a variable in it ({constant.name}), which no layer of the graph owns")
    if not keras.backend.is_float_dtype(x.dtype):
        raise _refusal(bare, name, f"integers in it ({x.dtype}), which overflow where floats do not; cast the input")
    numbers = np.asarray(
        keras.ops.convert_to_numpy(constant) if keras.ops.is_tensor(constant) else constant, np.float64
    )
    if bare.compute_output_spec(x, numbers).shape != x.shape:
        raise _refusal(bare, name, f"a constant of shape {numbers.shape} that widens the tensor {x.shape}")
    return x, numbers


def _rescaled(x: Any, name: str, scale: Any, offset: Any) -> Any:
    plain = [np.asarray(value).tolist() for value in (scale, offset)]
    return keras.layers.Rescaling(plain[0], plain[1], name=name)(x)


def _refusal(bare: Any, name: str, has: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"{name} is a bare keras.ops call ({type(bare).__name__}) with {has}; "
        "build this part from keras.layers, such as Add, Rescaling, Activation, Reshape"
    )
