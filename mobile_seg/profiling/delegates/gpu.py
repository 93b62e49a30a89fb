"""The phone's GPU: LiteRT's accelerator, over OpenCL on Android and WebGPU elsewhere."""

from mobile_seg.profiling.delegates.common import activations, constant, inputs, types
from mobile_seg.profiling.delegates.graph import MEDIAPIPE_DECONVOLUTION, Operation
from mobile_seg.profiling.delegates.rules import EIGHT_BIT, FLOATS, Delegate, Rule, integers, shown, stated

SOURCE = "tflite/tools/versioning/gpu_compatibility.cc of LiteRT, and the GPU accelerator of ai-edge-litert 2.3"
TYPES = (*FLOATS, *EIGHT_BIT, "int32", "bool")
MOST_SIDES = 4


@stated(most=MOST_SIDES)
def few_sides(operation: Operation) -> str | None:
    """Tensors must have {most} sides at most: the GPU knows images, [N, H, W, C].

    Source: "Tensor dimensions must be less than 5", the GPU accelerator of ai-edge-litert 2.3
    Fix: Keep images as [N, H, W, C] throughout; shuffle channels with 1x1 convolutions instead of reshapes.
    """
    wrong = [one for one in (*operation.data, *operation.outputs) if one.rank > MOST_SIDES]
    return f"it has {shown(wrong[0])}" if wrong else None


def int32_classes(operation: Operation) -> str | None:
    """What is computed must be float, 8-bit, int32 or bool; no GPU has 64-bit integers.

    Source: "Tensor type(INT64) is not supported", the GPU accelerator of ai-edge-litert 2.3
    Fix: Take the arg-max as int32, `keras.ops.cast(…, "int32")`, which the converter folds into it.
    """
    wrong = [one for one in (*operation.data, *operation.outputs) if one.dtype not in TYPES]
    return f"it has {shown(wrong[0])}" if wrong else None


def plain_beta(operation: Operation) -> str | None:
    """The softmax must have beta 1.

    Source: gpu_compatibility.cc of LiteRT
    Fix: Scale the logits before the softmax.
    """
    beta = operation.options.get("beta", 0.0)
    return None if beta == 1.0 else f"beta is {beta:g}"


def broadcast(operation: Operation) -> str | None:
    """The sides of two inputs, counted from the last, must be equal or 1.

    Source: CheckAddMulBroadcastCompatibility in gpu_compatibility.cc of LiteRT
    Fix: Bring one input to the other's shape first.
    """
    first, second = (one.shape for one in operation.given[:2])
    pairs = zip(reversed(first), reversed(second), strict=False)
    return None if all(a == b or 1 in (a, b) for a, b in pairs) else f"{list(first)} and {list(second)}"


def paddings(operation: Operation) -> str | None:
    """Padding must be a table of 3x2 or 4x2 numbers; mirrored, it must reflect.

    Source: gpu_compatibility.cc of LiteRT
    Fix: Pad inside the convolution with `padding="same"`.
    """
    pads = operation.inputs[1]
    if pads is None or pads.shape not in ((3, 2), (4, 2)):
        return f"it is {pads and list(pads.shape)}"
    mirrored = operation.kind == "MIRROR_PAD" and operation.options.get("mode", "REFLECT") != "REFLECT"
    return "it is symmetric" if mirrored else None


def known_axes(operation: Operation) -> str | None:
    """The axes must be constant int32.

    Source: CheckAxesAreInt32Const in gpu_compatibility.cc of LiteRT
    Fix: Give the axes in numbers.
    """
    tensor = operation.inputs[1]
    good = tensor is not None and integers(operation, 1) is not None and tensor.dtype == "int32"
    return None if good else "they are not"


def image_slice(operation: Operation) -> str | None:
    """A slice must be of three or four sides, without masks that change them.

    Source: gpu_compatibility.cc of LiteRT
    Fix: Crop [N, H, W, C] with `tf.slice`.
    """
    if operation.given[0].rank not in (3, 4):
        return f"it is of {shown(operation.given[0])}"
    masks = any(operation.options.get(f"{mask}_mask") for mask in ("ellipsis", "new_axis", "shrink_axis"))
    return "it has such a mask" if masks else None


def block(operation: Operation) -> str | None:
    """The block must be larger than 1.

    Source: gpu_compatibility.cc of LiteRT
    Fix: Leave the operation out.
    """
    size = operation.options.get("block_size", 0)
    return None if size > 1 else f"it is {size}"


def one_alignment(operation: Operation) -> str | None:
    """A resize must not align corners and half pixels at once.

    Source: gpu_compatibility.cc of LiteRT
    Fix: Choose one of them.
    """
    both = operation.options.get("align_corners") and operation.options.get("half_pixel_centers")
    return "it does" if both else None


def depthwise_channels(operation: Operation) -> str | None:
    """A depthwise convolution must be of images, with the input's channels times the multiplier coming out.

    Source: CheckDepthwiseConvGpuDelegateCompatibility in gpu_compatibility.cc of LiteRT
    Fix: Use a plain convolution.
    """
    given, made = operation.given[0], operation.outputs[0]
    if given.rank != 4 or made.rank != 4:
        return f"it is of {shown(given)}"
    times = operation.options.get("depth_multiplier", 0)
    return None if made.shape[3] == given.shape[3] * times else f"{given.shape[3]} to {made.shape[3]} channels"


def default_weights(operation: Operation) -> str | None:
    """Weights of a fully connected layer must be in the default format, and keep the number of sides if they say so.

    Source: gpu_compatibility.cc of LiteRT
    Fix: Use a 1x1 convolution.
    """
    shuffled = operation.options.get("weights_format", 0) != 0
    keeps = operation.options.get("keep_num_dims") and operation.given[0].rank != operation.outputs[0].rank
    return "they are not" if shuffled or keeps else None


_CLAMPS = activations(("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH"), source=SOURCE)
_TWO = inputs(2, 2, source=SOURCE, fix="Add or multiply two at a time.")
_PAIR = (_TWO, broadcast, _CLAMPS)

OPERATIONS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "LOG", "LOGISTIC", "NEG", "ROUND"), ()),
    **dict.fromkeys(("RSQRT", "SIGN", "SIN", "SQRT", "SQUARE", "TANH", "HARD_SWISH", "LEAKY_RELU", "PRELU"), ()),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "QUANTIZE", "CAST", "ARG_MAX", "TILE"), ()),
    **dict.fromkeys(("CONCATENATION", "PACK", "UNPACK", "SPLIT", "SPLIT_V", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"), ()),
    **dict.fromkeys(("TRANSPOSE", "TOPK_V2", "ONE_HOT", "SELECT", "SELECT_V2", "GATHER", "CUMSUM", "BATCH_MATMUL"), ()),
    "REVERSE_V2": (),
    **dict.fromkeys(("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL", "LOGICAL_AND"), ()),
    **dict.fromkeys(("ADD", "MUL"), _PAIR),
    **dict.fromkeys(("DIV", "SUB"), (_TWO, _CLAMPS)),
    **dict.fromkeys(("MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "FLOOR_DIV", "FLOOR_MOD"), (_TWO,)),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"), (known_axes,)),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), (paddings,)),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE"), (image_slice,)),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), (block,)),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), (_CLAMPS,)),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), (one_alignment,)),
    "CONV_2D": (_CLAMPS,),
    "DEPTHWISE_CONV_2D": (depthwise_channels, _CLAMPS),
    "DEQUANTIZE": (types(EIGHT_BIT, ("float32",), source=SOURCE, fix="Quantize activations to 8 bits."),),
    "FULLY_CONNECTED": (default_weights, _CLAMPS),
    "SOFTMAX": (plain_beta,),
    "TRANSPOSE_CONV": (constant((1,), "weights", source=SOURCE),),
    MEDIAPIPE_DECONVOLUTION: (constant((1,), "weights", source=SOURCE),),
    "MaxPoolingWithArgmax2D": (),
    "MaxUnpooling2D": (),
}

GPU = Delegate(
    name="gpu",
    title="GPU",
    about="LiteRT's GPU accelerator, over OpenCL on Android, Metal on iOS and WebGPU elsewhere",
    source=SOURCE,
    operations=OPERATIONS,
    general=(few_sides, int32_classes),
    instead={
        "SPACE_TO_BATCH_ND": "Export from a fixed-size graph: the dilated convolution then stays one operation.",
        "BATCH_TO_SPACE_ND": "Export from a fixed-size graph: the dilated convolution then stays one operation.",
        "L2_NORMALIZATION": "Write it as a multiplication by the RSQRT of a sum of squares.",
        "GATHER_ND": "Use GATHER along one side, or a slice.",
        "BROADCAST_TO": "Leave it out: ADD and MUL broadcast.",
    },
    notes=(
        "It computes in half precision unless told otherwise; 8-bit weights are dequantized, which saves no time.",
        "TFLite's older GPU delegate (2.16 and before, MediaPipe) has no ARG_MAX at all: give it logits.",
    ),
    unpacks=("float16",),
    most=1,
    judge="the GPU accelerator of this machine, a software GPU will do",
)
