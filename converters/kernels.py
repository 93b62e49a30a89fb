"""What TFLite's kernels do with integers, as a table: the facts that `integer` writes files by.

Source: TFLite's quantization specification and the version rules of its converter (op_version.cc).
"""

from dataclasses import dataclass
from enum import Enum

from ai_edge_litert import schema_py_generated as schema


class Kind(Enum):
    """How a kernel's output scale comes about."""

    WEIGHTED = "integer products with weights, an accumulator with a bias, then any output scale"
    COMPUTING = "any input scales, any output scale"
    COPYING = "the output has the input's scale and zero point"
    JOINING = "every input has the output's scale and zero point"
    PRESCRIBED = "any input scale; the output's is fixed by the kernel"
    RANKING = "integers are compared as they are; the output is an index"


@dataclass(frozen=True)
class Kernel:
    """An operation's kind, and the lowest version that takes int8 and int16 (None: there is no such kernel)."""

    kind: Kind
    int8: int
    int16: int | None
    data: int = 0
    """Which input is the activation, for a WEIGHTED kernel; weights are input 1, the bias follows the last of both."""
    hybrid: int | None = None
    """The version that takes float activations and int8 weights."""


_OPERATIONS = {
    "CONV_2D": Kernel(Kind.WEIGHTED, 3, 4, hybrid=2),
    "DEPTHWISE_CONV_2D": Kernel(Kind.WEIGHTED, 3, 5, hybrid=4),
    "FULLY_CONNECTED": Kernel(Kind.WEIGHTED, 4, 7, hybrid=3),
    "TRANSPOSE_CONV": Kernel(Kind.WEIGHTED, 3, 4, data=2),
    "ADD": Kernel(Kind.COMPUTING, 2, 3),
    "SUB": Kernel(Kind.COMPUTING, 2, 5),
    "MUL": Kernel(Kind.COMPUTING, 2, 4),
    "MEAN": Kernel(Kind.COMPUTING, 2, 3),
    "RELU": Kernel(Kind.COMPUTING, 2, 3),
    "RELU6": Kernel(Kind.COMPUTING, 2, 3),
    "AVERAGE_POOL_2D": Kernel(Kind.COPYING, 2, 3),
    "MAX_POOL_2D": Kernel(Kind.COPYING, 2, 3),
    "RESIZE_BILINEAR": Kernel(Kind.COPYING, 3, 4),
    "RESIZE_NEAREST_NEIGHBOR": Kernel(Kind.COPYING, 3, 4),
    "PAD": Kernel(Kind.COPYING, 2, 4),
    "RESHAPE": Kernel(Kind.COPYING, 1, 1),
    "SQUEEZE": Kernel(Kind.COPYING, 1, 1),
    "SPACE_TO_DEPTH": Kernel(Kind.COPYING, 2, None),
    "TRANSPOSE": Kernel(Kind.COPYING, 2, 5),
    "CONCATENATION": Kernel(Kind.JOINING, 2, 3),
    "LOGISTIC": Kernel(Kind.PRESCRIBED, 2, 3),
    "SOFTMAX": Kernel(Kind.PRESCRIBED, 2, 3),
    "TANH": Kernel(Kind.PRESCRIBED, 2, 3),
    "ARG_MAX": Kernel(Kind.RANKING, 2, None),
}

KERNELS: dict[int, Kernel] = {getattr(schema.BuiltinOperator, name): kernel for name, kernel in _OPERATIONS.items()}
"""Builtin operator code → its kernel. An operation that is not here runs in float."""

PRESCRIBED_SCALES = {
    (schema.BuiltinOperator.LOGISTIC, 8): (1 / 256, -128),
    (schema.BuiltinOperator.SOFTMAX, 8): (1 / 256, -128),
    (schema.BuiltinOperator.TANH, 8): (1 / 128, 0),
    (schema.BuiltinOperator.LOGISTIC, 16): (1 / 32768, 0),
    (schema.BuiltinOperator.SOFTMAX, 16): (1 / 32768, 0),
    (schema.BuiltinOperator.TANH, 16): (1 / 32768, 0),
}
"""(operation, bits) → the output scale and zero point its kernel demands."""
