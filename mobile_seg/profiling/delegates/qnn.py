"""Qualcomm's NPU (Hexagon, HTP) through QNN: LiteRT's compiler plugin."""

from mobile_seg.profiling.delegates.common import activations
from mobile_seg.profiling.delegates.graph import Operation
from mobile_seg.profiling.delegates.rules import EIGHT_BIT, FLOATS, Delegate, Rule, integers, shown, stated

SOURCE = "litert/vendors/qualcomm/compiler/qnn_compose_graph.cc of LiteRT"
TYPES = (*FLOATS, *EIGHT_BIT, "int16", "int32", "bool")
MOST_SIDES = 5


@stated(most=MOST_SIDES)
def few_sides(operation: Operation) -> str | None:
    """Tensors must have {most} sides at most, of known sizes.

    Source: Operation definitions for HTP, Qualcomm AI Engine Direct documentation
    Fix: Export with a fixed input size, and keep images as [N, H, W, C].
    """
    tensors = (*operation.given, *operation.outputs)
    wrong = [one for one in tensors if one.rank > MOST_SIDES or one.free]
    return f"it has {shown(wrong[0])}" if wrong else None


def known_types(operation: Operation) -> str | None:
    """What is computed must be float, 8- or 16-bit integer, int32 or bool; HTP has no 64-bit integers.

    Source: Operation definitions for HTP, Qualcomm AI Engine Direct documentation
    Fix: Take the arg-max as int32.
    """
    wrong = [one for one in (*operation.data, *operation.outputs) if one.dtype not in TYPES]
    return f"it has {shown(wrong[0])}" if wrong else None


def constant_bounds(operation: Operation) -> str | None:
    """Sizes, paddings and axes must be constant.

    Source: the builders of litert/vendors/qualcomm/core of LiteRT
    Fix: Fix the sizes in the network, so that the converter folds them.
    """
    return None if integers(operation, 1) is not None else "they are computed"


_CLAMPS = activations(("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH"), source=SOURCE)

PAIRS = ("ADD", "SUB", "MUL", "DIV", "CONCATENATION")
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")

OPERATIONS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys((*PAIRS, *WEIGHTED, "AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), (_CLAMPS,)),
    **dict.fromkeys(("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "LOG", "NEG", "ROUND", "RSQRT", "SIGN"), ()),
    **dict.fromkeys(("SIN", "SQRT", "SQUARE", "LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU", "PRELU"), ()),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION"), ()),
    **dict.fromkeys(("MINIMUM", "MAXIMUM", "POW", "FLOOR_DIV", "SQUARED_DIFFERENCE", "BATCH_MATMUL", "CUMSUM"), ()),
    **dict.fromkeys(("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"), ()),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", "SELECT", "SELECT_V2", "CAST"), ()),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE", "RESHAPE", "BROADCAST_TO", "SPLIT", "PACK", "UNPACK", "TILE"), ()),
    **dict.fromkeys(("GATHER", "GATHER_ND", "SCATTER_ND", "EMBEDDING_LOOKUP", "DYNAMIC_UPDATE_SLICE", "TOPK_V2"), ()),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "ARG_MAX", "ARG_MIN"), ()),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ALL", "REDUCE_ANY"), (constant_bounds,)),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE", "TRANSPOSE", "PAD", "PADV2", "MIRROR_PAD"), (constant_bounds,)),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2"), (constant_bounds,)),
}

QNN = Delegate(
    name="qnn",
    title="QNN (Hexagon)",
    about="Qualcomm's NPU, HTP, through LiteRT's compiler plugin or Qualcomm's own delegate",
    source=SOURCE,
    operations=OPERATIONS,
    general=(few_sides, known_types),
    instead={
        "SPACE_TO_BATCH_ND": "Export from a fixed-size graph: the dilated convolution then stays one operation.",
        "BATCH_TO_SPACE_ND": "Export from a fixed-size graph: the dilated convolution then stays one operation.",
        "SQUEEZE": "Use a reshape.",
        "EXPAND_DIMS": "Use a reshape.",
    },
    notes=(
        "The plugin asks the phone's own QNN library about each operation once more, with limits of that chip.",
        "It runs float in half precision; int8 and int16 activations are what the NPU is built for.",
    ),
    unpacks=("float16", "int8"),
)
