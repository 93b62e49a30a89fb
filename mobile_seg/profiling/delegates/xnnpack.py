"""XNNPACK: LiteRT's kernels for CPUs, used unless another delegate is asked for."""

from mobile_seg.profiling.delegates import xnnpack_rules as rules
from mobile_seg.profiling.delegates.common import activations, constant, inputs, ranks, types
from mobile_seg.profiling.delegates.graph import MEDIAPIPE_DECONVOLUTION
from mobile_seg.profiling.delegates.rules import EIGHT_BIT, FLOATS, Delegate, Rule

SOURCE = "tflite/delegates/xnnpack/xnnpack_delegate.cc of LiteRT, as of ai-edge-litert 2.3"
FLOAT_FIX = "Keep this operation in float, or use one that has an 8-bit kernel."
MENDED = "Export with `--target xnnpack`, which writes it otherwise, bit for bit."

_CLAMPS = activations(("NONE", "RELU", "RELU_N1_TO_1", "RELU6"), source=SOURCE)
_FLOAT = types(FLOATS, source=SOURCE, fix=FLOAT_FIX)
_FLOAT32 = types(("float32",), source=SOURCE, fix=FLOAT_FIX)
_RECTIFIER = types(FLOATS, source=SOURCE, fix=MENDED)
_AVERAGE = types(("float32",), source=SOURCE, fix=MENDED)
_ANY = types(("float32", *EIGHT_BIT), source=SOURCE, fix="Use float32 or 8-bit tensors.")
_IMAGE = ranks(4, 4, source=SOURCE)
_CONVOLUTION = (
    _ANY,
    _IMAGE,
    constant((1, 2), "weights and bias", source=SOURCE),
    rules.weights_grid,
    rules.alike,
    _CLAMPS,
)
_REDUCTION = (_ANY, rules.one_scale, constant((1,), "axes", source=SOURCE, unpacked=False))
_SUM = (_ANY, rules.one_scale, rules.alike, rules.sum_scales, _CLAMPS)
_RESIZE = (_ANY, rules.one_scale, _IMAGE, constant((1,), "size", source=SOURCE, unpacked=False))
_JOIN = inputs(2, 5, source=SOURCE, fix="Concatenate in two steps.")

OPERATIONS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(
        ("ABS", "CEIL", "COS", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LOG", "NEG", "RELU_N1_TO_1"),
        (_FLOAT,),
    ),
    **dict.fromkeys(("RELU", "RELU6"), (_RECTIFIER,)),
    **dict.fromkeys(("ROUND", "RSQRT", "SIN", "SQRT", "SQUARE"), (_FLOAT,)),
    **dict.fromkeys(("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"), (_FLOAT32,)),
    **dict.fromkeys(("LOGISTIC", "TANH"), (_ANY, rules.one_scale)),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), _REDUCTION),
    "ADD": _SUM,
    "AVERAGE_POOL_2D": (_AVERAGE, rules.pooling_step, _CLAMPS),
    "BATCH_MATMUL": (types(("float32",), source=SOURCE, fix=FLOAT_FIX), ranks(2, rules.MOST_SIDES, source=SOURCE)),
    "CONCATENATION": (_ANY, rules.one_scale, _JOIN, rules.joined_grid),
    "CONV_2D": (rules.has_bias, *_CONVOLUTION),
    "DEPTHWISE_CONV_2D": (rules.has_bias, *_CONVOLUTION),
    "DEPTH_TO_SPACE": (_ANY, rules.one_scale, rules.block),
    "DEQUANTIZE": (
        types(EIGHT_BIT, ("float32",), source=SOURCE, fix="Quantize activations to 8 bits."),
        rules.one_scale,
    ),
    "DIV": (_FLOAT32, _CLAMPS),
    "ELU": (types(("float32", "int8"), source=SOURCE, fix=FLOAT_FIX), rules.one_scale),
    "FULLY_CONNECTED": (
        rules.plain_weights,
        _ANY,
        constant((1, 2), "weights and bias", source=SOURCE),
        rules.weights_grid,
        rules.alike,
        _CLAMPS,
    ),
    "LEAKY_RELU": (_ANY, rules.one_scale, rules.leak),
    "MAX_POOL_2D": (_ANY, rules.one_scale, rules.pooling_step, _CLAMPS),
    "MUL": (_ANY, rules.one_scale, rules.alike, rules.product_scales, _CLAMPS),
    "PAD": (_ANY, rules.one_scale, rules.paddings),
    "PRELU": (_FLOAT32, constant((1,), "slopes", source=SOURCE)),
    "QUANTIZE": (
        types(("float32", *EIGHT_BIT), EIGHT_BIT, source=SOURCE, fix="Quantize activations to 8 bits."),
        rules.one_scale,
        rules.requantization,
    ),
    "RESHAPE": (_ANY, rules.one_scale, constant((1,), "shape", source=SOURCE, unpacked=False), rules.unchanged_grid),
    "RESIZE_BILINEAR": _RESIZE,
    "SLICE": (_ANY, rules.one_scale, rules.known_slice),
    "SOFTMAX": (_FLOAT32, rules.plain_beta),
    "SPACE_TO_DEPTH": (_ANY, rules.one_scale, rules.block),
    "SPLIT": (
        types(("float32", *EIGHT_BIT), source=SOURCE, fix="Use float32 or 8-bit tensors."),
        rules.one_scale,
        constant((0,), "axis", source=SOURCE, unpacked=False),
        rules.parts,
    ),
    "STRIDED_SLICE": (_ANY, rules.one_scale, rules.plain_slice),
    "SUB": _SUM,
    "TRANSPOSE": (_ANY, rules.one_scale, constant((1,), "order", source=SOURCE, unpacked=False)),
    "TRANSPOSE_CONV": (
        _ANY,
        constant((0, 1, 3), "size, weights and bias", source=SOURCE),
        ranks(4, 4, at=2, source=SOURCE),
        rules.weights_grid,
        _CLAMPS,
    ),
    MEDIAPIPE_DECONVOLUTION: (_FLOAT32, _IMAGE, constant((1, 2), "weights and bias", source=SOURCE)),
    "MaxPoolingWithArgmax2D": (types(("float32",), ("float32", "int32"), source=SOURCE, fix=FLOAT_FIX), _IMAGE),
    "MaxUnpooling2D": (types(("float32", "int32"), source=SOURCE, fix=FLOAT_FIX), _IMAGE),
}

XNNPACK = Delegate(
    name="xnnpack",
    title="XNNPACK",
    about="kernels for the phone's CPU, LiteRT's own choice where nothing else is asked for",
    source=SOURCE,
    operations=OPERATIONS,
    general=(rules.sizes,),
    instead={
        "RESIZE_NEAREST_NEIGHBOR": "Only bilinear resizing has a kernel; nearest runs outside, exactly as well, "
        "but parts the graph: export with `--target xnnpack`, at a size whose levels are whole multiples.",
        "TILE": "Use RESIZE_BILINEAR of a single pixel, or an ADD that broadcasts.",
        "ARG_MAX": "It stands at the end of the graph, where it parts nothing.",
        "SPACE_TO_BATCH_ND": "Export from a fixed-size graph: the dilated convolution then stays one operation.",
        "BATCH_TO_SPACE_ND": "Export from a fixed-size graph: the dilated convolution then stays one operation.",
        "EXPAND_DIMS": "Use a reshape.",
        "PACK": "Use a concatenation.",
    },
    notes=("The phone's LiteRT may be older or newer than the one these rules were read from.",),
    unpacks=("float16", "int8"),
    judge="the interpreter of this machine, which parts the graph",
)
