"""Android's NNAPI, by feature level; deprecated since Android 15."""

from mobile_seg.errors import UsageError
from mobile_seg.profiling.delegates.common import constant, newest, types
from mobile_seg.profiling.delegates.graph import Operation
from mobile_seg.profiling.delegates.rules import EIGHT_BIT, Delegate, Rule, integers, same_grid, shown

SOURCE = "NNAPIDelegateKernel::Validate in tensorflow/lite/delegates/nnapi/nnapi_delegate.cc of TensorFlow"
LEVELS = {27: "1.0, Android 8.1", 28: "1.1, Android 9", 29: "1.2, Android 10", 30: "1.3, Android 11"}
"""Android API level → NNAPI version. The delegate asks for nothing newer: 31 and later take what 30 takes."""

LATEST = 30
ANY = 99
"""A version that no operation reaches."""

NEWER = "Quantized graphs need NNAPI 1.2 or 1.3 (Android 10 or 11); use the CPU or GPU on older phones."
_VALUES = ("float32", *EIGHT_BIT)

FIRST: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("ADD", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "DEQUANTIZE"), (27, 2)),
    **dict.fromkeys(("LOGISTIC", "RELU", "RELU6", "RELU_N1_TO_1", "TANH", "SPACE_TO_DEPTH", "SOFTMAX"), (27, 2)),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "RESIZE_BILINEAR"), (27, 3)),
    **dict.fromkeys(("FLOOR", "RESHAPE"), (27, 1)),
    **dict.fromkeys(("DEPTH_TO_SPACE", "HARD_SWISH"), (27, ANY)),
    "FULLY_CONNECTED": (27, 5),
    "L2_NORMALIZATION": (27, 2),
    **dict.fromkeys(("SQUEEZE", "DIV"), (28, 1)),
    **dict.fromkeys(("PAD", "MEAN", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "STRIDED_SLICE", "TRANSPOSE"), (28, 2)),
    "SUB": (28, 3),
    **dict.fromkeys(("ABS", "EXP", "LOG", "RSQRT", "POW", "SIN", "SQRT", "CAST", "LEAKY_RELU"), (29, 1)),
    **dict.fromkeys(("PRELU", "TILE"), (29, 1)),
    **dict.fromkeys(("EXPAND_DIMS", "LOG_SOFTMAX", "SUM", "REDUCE_PROD"), (29, 1)),
    **dict.fromkeys(
        ("ARG_MAX", "ARG_MIN", "PADV2", "SLICE", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "GATHER"), (29, 2)
    ),
    **dict.fromkeys(("MAXIMUM", "MINIMUM", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV", "SPLIT"), (29, 3)),
    **dict.fromkeys(("ELU", "FILL"), (30, 1)),
    "PACK": (30, 2),
}
"""Operation → the first API level that has it, and its highest version."""

FLOAT_ONLY = ("ABS", "EXP", "LOG", "RSQRT", "POW", "SIN", "SQRT", "DIV", "ELU", "SUM", "REDUCE_PROD", "LOG_SOFTMAX")
FLOAT_BEFORE_29 = ("TANH", "SUB", "PAD", "MEAN", "RESIZE_BILINEAR", "L2_NORMALIZATION")
WITH_INT32 = (
    "PACK",
    "ADD",
    "MUL",
    "SUB",
    "MAXIMUM",
    "MINIMUM",
    "SLICE",
    "CAST",
    "TILE",
    "SPLIT",
    "GATHER",
    "EXPAND_DIMS",
    "PACK",
)
CONSTANTS = {
    **dict.fromkeys(("RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE", "EXPAND_DIMS"), (1,)),
    "SPLIT": (0,),
    "TRANSPOSE_CONV": (0, 1),
}
LARGEST_WINDOW = 256


def int32_classes(operation: Operation) -> str | None:
    """Arg-max must put out int32.

    Source: kTfLiteBuiltinArgMax in nnapi_delegate.cc of TensorFlow
    Fix: Take the arg-max as int32, `keras.ops.cast(…, "int32")`, which the converter folds into it.
    """
    made = operation.outputs[0]
    return None if made.dtype == "int32" else f"it puts out {made.dtype}"


def small_window(operation: Operation) -> str | None:
    """An 8-bit average must be over at most 256 pixels.

    Source: kTfLiteBuiltinAveragePool2d in nnapi_delegate.cc of TensorFlow
    Fix: Use a mean over the whole image.
    """
    high, wide = operation.window
    large = operation.given[0].dtype in EIGHT_BIT and high * wide > LARGEST_WINDOW
    return f"it is over {high}x{wide}" if large else None


def has_bias(operation: Operation) -> str | None:
    """A convolution must have a bias.

    Source: kTfLiteBuiltinConv2d in nnapi_delegate.cc of TensorFlow
    Fix: Give the layer a bias; zeros will do.
    """
    return None if len(operation.inputs) == 3 else "it has none"


def unfused(operation: Operation) -> str | None:
    """Nothing may be fused into a concatenation, and its inputs have four sides at most.

    Source: kTfLiteBuiltinConcatenation in nnapi_delegate.cc of TensorFlow
    Fix: Write the activation as a layer of its own.
    """
    given = operation.given[0]
    return None if operation.activation == "NONE" and given.rank <= 4 else f"{operation.activation}, {shown(given)}"


def kept_grid(operation: Operation) -> str | None:
    """A mean must keep its input's scale and zero point, and put out no scalar.

    Source: kTfLiteBuiltinMean in nnapi_delegate.cc of TensorFlow
    Fix: Average float values, or use AVERAGE_POOL_2D with at most 256 pixels.
    """
    given, made = operation.given[0], operation.outputs[0]
    if not made.shape:
        return "it puts out a scalar"
    return "they differ" if given.scales and not same_grid(given, made) else None


def no_crops(operation: Operation) -> str | None:
    """BATCH_TO_SPACE_ND must crop nothing.

    Source: kTfLiteBuiltinBatchToSpaceNd in nnapi_delegate.cc of TensorFlow
    Fix: Export from a fixed-size graph: the dilated convolution then stays one operation.
    """
    crops = integers(operation, 2)
    return None if crops is not None and len(crops) == 4 and not any(crops) else f"it crops {crops}"


def few_sides(operation: Operation) -> str | None:
    """The input must have four sides at most.

    Source: kTfLiteBuiltinSoftmax and kTfLiteBuiltinSub in nnapi_delegate.cc of TensorFlow
    Fix: Keep images as [N, H, W, C].
    """
    return None if all(one.rank <= 4 for one in operation.given) else f"it is {shown(operation.given[0])}"


def old_alignment(operation: Operation) -> str | None:
    """Up to NNAPI 1.2, a resize must neither align corners nor have half-pixel centres.

    Source: kTfLiteBuiltinResizeBilinear in nnapi_delegate.cc of TensorFlow
    Fix: Ask for Android 11 (NNAPI 1.3), or use the CPU or GPU.
    """
    wrong = operation.options.get("align_corners") or operation.options.get("half_pixel_centers")
    return "it does" if wrong else None


def square_sizes(operation: Operation) -> str | None:
    """Before NNAPI 1.2, a bilinear resize must put out squares.

    Source: kTfLiteBuiltinResizeBilinear in nnapi_delegate.cc of TensorFlow
    Fix: Ask for Android 10 (NNAPI 1.2).
    """
    made = operation.outputs[0].shape
    return None if made[1] == made[2] else f"it is {made[1]}x{made[2]}"


def old_weights(operation: Operation) -> str | None:
    """Before NNAPI 1.2, weights must have one scale, inputs be float or uint8, and nothing be dilated.

    Source: kTfLiteBuiltinConv2d and kTfLiteBuiltinDepthwiseConv2d in nnapi_delegate.cc of TensorFlow
    Fix: Ask for Android 10 (NNAPI 1.2), or use the CPU or GPU.
    """
    given, weights, made = operation.given[0], operation.inputs[1], operation.outputs[0]
    if given.dtype not in ("float32", "uint8") or (weights is not None and len(weights.scales) > 1):
        return f"it is {given.dtype}, with {len(weights.scales) if weights else 0} scales of weights"
    if operation.dilation != (1, 1):
        return f"dilation {operation.dilation}"
    if given.dtype != "uint8" or weights is None or not (weights.scales and given.scales and made.scales):
        return None
    small = given.scales[0] * weights.scales[0] < made.scales[0]
    return None if small else "the product of its scales is not below the output's"


def _since(first: int, level: int) -> Rule:
    def rule(operation: Operation) -> str | None:
        return None if level >= first else f"asked for is {level}"

    rule.__name__ = "feature_level"
    rule.__doc__ = (
        f"It needs NNAPI {LEVELS[first]} (API level {first}).\n\nSource: {SOURCE}\n"
        "Fix: Use the CPU or GPU on older phones."
    )
    return rule


def _rules(kind: str, level: int) -> tuple[Rule, ...]:
    first, version = FIRST[kind]
    made: list[Rule] = [_since(first, level)]
    if version != ANY:
        made.append(newest(version, source=SOURCE, fix="Convert with an older TensorFlow, or use the CPU or GPU."))
    if kind in CONSTANTS:
        made.append(constant(CONSTANTS[kind], "parameters", source=SOURCE, unpacked=False))
    made.append(_types(kind, level))
    if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") and level < 29:
        made.append(old_weights)
    if kind == "RESIZE_BILINEAR" and level < 29:
        made.append(square_sizes)
    if kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR") and level <= 29:
        made.append(old_alignment)
    return (*made, *EXTRA.get(kind, ()))


EXTRA: dict[str, tuple[Rule, ...]] = {
    "ARG_MAX": (int32_classes,),
    "ARG_MIN": (int32_classes,),
    "AVERAGE_POOL_2D": (small_window,),
    "BATCH_TO_SPACE_ND": (no_crops,),
    "CONCATENATION": (unfused,),
    "CONV_2D": (has_bias,),
    "MEAN": (kept_grid,),
    "SOFTMAX": (few_sides,),
    "SUB": (few_sides,),
}


def _types(kind: str, level: int) -> Rule:
    if kind in FLOAT_ONLY or (kind in FLOAT_BEFORE_29 and level < 29):
        return types(("float32",), source=SOURCE, fix=NEWER)
    if kind == "DEQUANTIZE":
        taken = ("uint8",) if level < 29 else EIGHT_BIT
        return types(taken, ("float32",), source=SOURCE, fix=NEWER)
    if kind == "QUANTIZE":
        return types(_VALUES, ("uint8",) if level < 30 else EIGHT_BIT, source=SOURCE, fix=NEWER)
    wide = ("int32",) if kind in WITH_INT32 and (level >= 30 or kind not in ("ADD", "MUL", "SUB")) else ()
    out = ("int32", "int64") if kind in ("ARG_MAX", "ARG_MIN") else (*_VALUES, *wide)
    return types((*_VALUES, *wide), out, source=SOURCE, fix="Use float32 or 8-bit tensors.")


def nnapi(level: int = LATEST) -> Delegate:
    """Return the delegate on a phone of an Android API level, 27 to 36.

    Raises:
        UsageError: for another level.
    """
    if not 27 <= level <= 36:
        raise UsageError(f"--delegate nnapi:{level} is no Android with NNAPI; choose 27 to 36, as in nnapi:29.")
    asked = min(level, LATEST)
    return Delegate(
        name="nnapi" if level == LATEST else f"nnapi:{level}",
        title=f"NNAPI {LEVELS[asked].split(',')[0]}",
        about=f"whatever accelerator an Android phone's maker registered, at API level {level}",
        source=SOURCE,
        operations={kind: _rules(kind, asked) for kind in FIRST},
        instead={
            "HARD_SWISH": "Use RELU6.",
            "GELU": "Use RELU6 or HARD_SWISH.",
            "SPLIT_V": "Split into equal parts.",
        },
        notes=(
            "Deprecated since Android 15: Google points to the GPU and to the makers' own delegates. Keep it for old "
            "phones.",
            "What the phone's driver makes of an operation is not known here: it may still run on the CPU inside.",
        ),
        unpacks=("float16",) if asked >= 30 else (),
        most=3,
    )
