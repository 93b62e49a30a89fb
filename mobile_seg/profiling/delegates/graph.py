"""A `.tflite` file's main graph as rules read it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

WEIGHTED = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}
MEDIAPIPE_DECONVOLUTION = "Convolution2DTransposeBias"

NUMPY = {"uint4": None, "int4": None, "string": None, "resource": None, "variant": None, "bfloat16": None}
"""Types without a NumPy type of their own; every other goes by the same name."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor. `shape` is the file's; `signature` has -1 in place of sizes that may change when the model is run.

    `scales` is empty without quantization, has one value per tensor or one per channel along `axis`.
    `content` are the bytes of a constant. `unpacked` is a tensor that is made of constants alone by
    DEQUANTIZE or DENSIFY: weights stored in fewer bits.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    content: memoryview | None = field(default=None, repr=False)
    signature: tuple[int, ...] = ()
    sparse: bool = False
    unpacked: bool = False

    @property
    def constant(self) -> bool:
        """Whether the file holds its values."""
        return self.content is not None

    @property
    def free(self) -> bool:
        """Whether a size may change when the model is run."""
        return any(side < 0 for side in self.signature)

    @property
    def rank(self) -> int:
        """Number of sides; 0 for a scalar."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @cached_property
    def values(self) -> np.ndarray | None:
        """The constant's values in its shape; None if it is no constant, or of a type without one in NumPy."""
        if self.content is None or NUMPY.get(self.dtype, self.dtype) is None:
            return None
        found = np.frombuffer(self.content, np.dtype(self.dtype))
        return found.reshape(self.shape) if found.size == self.size else None


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of the main graph, in the order of execution.

    A custom operation goes by its own name and has `custom` set. `inputs` has None where one is left out.
    `macs` are its multiply-adds for one run, of convolutions and fully connected layers, else 0.
    """

    index: int
    kind: str
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: bool = False

    @property
    def layer(self) -> str:
        """The layer it was made of, as far as tensor names tell."""
        weights = self.inputs[1] if self.kind in WEIGHTED and len(self.inputs) > 1 else None
        made = self.outputs[0].name if self.outputs else self.kind
        return (weights and layer_of(weights.name)) or layer_of(made) or made.split(";")[0]

    @property
    def given(self) -> tuple[Tensor, ...]:
        """The inputs that are there."""
        return tuple(tensor for tensor in self.inputs if tensor is not None)

    @property
    def data(self) -> tuple[Tensor, ...]:
        """The inputs that are computed when the model runs."""
        return tuple(tensor for tensor in self.given if not tensor.constant)

    @property
    def stride(self) -> tuple[int, int]:
        """Height, width."""
        return self.options.get("stride_h", 0), self.options.get("stride_w", 0)

    @property
    def dilation(self) -> tuple[int, int]:
        """Height, width."""
        return self.options.get("dilation_h_factor", 1), self.options.get("dilation_w_factor", 1)

    @property
    def window(self) -> tuple[int, int]:
        """Height, width of a pooling."""
        return self.options.get("filter_height", 0), self.options.get("filter_width", 0)

    @property
    def padding(self) -> str:
        """`SAME` or `VALID`."""
        return str(self.options.get("padding", "SAME"))

    @property
    def activation(self) -> str:
        """What is fused into it, `NONE` if nothing."""
        return str(self.options.get("fused_activation_function", "NONE"))

    @property
    def macs(self) -> int:
        """Numbers put out times weights behind each (of a transposed convolution: numbers taken in)."""
        if self.kind in ("TRANSPOSE_CONV", MEDIAPIPE_DECONVOLUTION):  # weights [O, h, w, I]
            data, weights = (2, 1) if self.kind == "TRANSPOSE_CONV" else (0, 1)
            return self._times(self.inputs[data], self.inputs[weights], 3)
        if self.kind in ("CONV_2D", "FULLY_CONNECTED"):  # weights [O, h, w, I] or [O, I]
            return self._times(self.outputs[0], self.inputs[1], 0)
        if self.kind == "DEPTHWISE_CONV_2D":  # weights [1, h, w, O]
            return self._times(self.outputs[0], self.inputs[1], 3)
        return 0

    @staticmethod
    def _times(counted: Tensor | None, weights: Tensor | None, side: int) -> int:
        if counted is None or weights is None or weights.rank <= side or not weights.shape[side]:
            return 0
        return counted.size * weights.size // weights.shape[side]


@dataclass(frozen=True, eq=False)
class Graph:
    """The main graph of a file. `subgraphs` counts all; delegates look at the first alone."""

    path: str
    size_bytes: int
    operations: tuple[Operation, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    subgraphs: int

    @property
    def macs(self) -> int:
        """Multiply-adds of one run."""
        return sum(operation.macs for operation in self.operations)


def layer_of(name: str) -> str:
    """Return the Keras layer in a converter's tensor name, or nothing if it holds none.

    Converters join names with `;` and write each as `model/layer/operation`. A functional model that is
    called once more numbers itself and every layer alike: `net_1/b07_expand_conv_1/convolution`.
    """
    for one in name.split(";"):
        parts = one.split("/")
        if len(parts) < 3:
            continue
        number = re.search(r"_\d+$", parts[0])
        if number and parts[1].endswith(number[0]):
            return parts[1].removesuffix(number[0])
        return "/".join(parts[1:-1])
    return ""
