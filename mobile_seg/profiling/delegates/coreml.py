"""TFLite's Core ML delegate: float graphs on Apple's Neural Engine, through the old neural-network format."""

from mobile_seg.profiling.delegates.common import STAY_FLOAT, activations, constant, types
from mobile_seg.profiling.delegates.graph import Operation
from mobile_seg.profiling.delegates.rules import Delegate, Rule, axes, integers, shown

SOURCE = "tensorflow/lite/delegates/coreml of TensorFlow: coreml_delegate.mm and builders/"
VERSIONS = {"DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 6}
LARGEST_KERNEL = 16384


def first_versions(operation: Operation) -> str | None:
    """Operations must be of version 1; depthwise convolutions of 2 at most, fully connected layers of 6.

    Source: IsNodeSupportedByDelegate in coreml_delegate.mm of TensorFlow
    Fix: Export a .mlpackage instead: `--to coreml` needs no delegate.
    """
    most = VERSIONS.get(operation.kind, 1)
    return None if operation.version <= most else f"it is version {operation.version}"


def broadcast(operation: Operation) -> str | None:
    """Two inputs must have the same batch, and equal sides or 1x1 pixels or 1 channel.

    Source: IsBroadcastable in builders/util.cc of TensorFlow's Core ML delegate
    Fix: Enlarge one of the inputs first.
    """
    first, second = ((1, 1, 1, 1, *one.shape)[-4:] for one in operation.given[:2])
    if max(one.rank for one in operation.given[:2]) > 4:
        return "it has more than four sides"
    single = any(one.constant and one.size == 1 for one in operation.given[:2])
    batch = first[0] == second[0] or single
    image = first[1:3] == second[1:3] or (1, 1) in (first[1:3], second[1:3])
    channels = first[3] == second[3] or 1 in (first[3], second[3])
    return None if batch and image and channels else f"{list(first)} and {list(second)}"


def along_channels(operation: Operation) -> str | None:
    """Images may be concatenated along their channels only.

    Source: IsConcatenationOpSupported in builders/concatenation_op_builder.cc of TensorFlow
    Fix: Concatenate along the last side of [N, H, W, C].
    """
    rank, axis = operation.given[0].rank, operation.options.get("axis", 0)
    return None if rank in (3, 4) and axis in (rank - 1, -1) else f"it is along side {axis} of {rank}"


def whole_image(operation: Operation) -> str | None:
    """A mean must be over height and width of [N, H, W, C], and keep its sides.

    Source: IsMeanOpSupported in builders/pooling_layer_builder.cc of TensorFlow
    Fix: Average with `keepdims=True` over height and width.
    """
    over = axes(operation)
    good = operation.options.get("keep_dims") and operation.given[0].rank == 4 and over is not None
    return None if good and over and set(over) <= {1, 2} else f"over {over}"


def image_padding(operation: Operation) -> str | None:
    """Padding must be constant, of [N, H, W, C], in height and width only; mirrored, it must reflect.

    Source: builders/pad_op_builder.cc and README.md of TensorFlow's Core ML delegate
    Fix: Pad inside the convolution with `padding="same"`.
    """
    values = integers(operation, 1)
    if values is None or len(values) != 8 or any((*values[:2], *values[6:])):
        return f"it is {values}"
    mirrored = operation.kind == "MIRROR_PAD" and operation.options.get("mode", "REFLECT") != "REFLECT"
    return "it is symmetric" if mirrored else None


def plain_beta(operation: Operation) -> str | None:
    """The softmax must have beta 1.

    Source: coreml_delegate.mm of TensorFlow
    Fix: Scale the logits before the softmax.
    """
    beta = operation.options.get("beta", 0.0)
    return None if beta == 1.0 else f"beta is {beta:g}"


def kernel_size(operation: Operation) -> str | None:
    """Weights must have four sides, none above 16384.

    Source: IsConvolutionOpSupported in builders/convolution_op_builder.cc of TensorFlow
    Fix: Use a smaller kernel.
    """
    weights = operation.inputs[1]
    good = weights is not None and weights.rank == 4 and max(weights.shape[1:3]) <= LARGEST_KERNEL
    return None if good else f"they are {weights and shown(weights)}"


def single_vector(operation: Operation) -> str | None:
    """A fully connected layer must take one vector at a time.

    Source: README.md of TensorFlow's Core ML delegate
    Fix: Use a 1x1 convolution.
    """
    given = operation.given[0]
    return None if all(side == 1 for side in given.shape[:-1]) else f"it is {shown(given)}"


_PLAIN = activations(("NONE",), source=SOURCE)
_CLAMPS = activations(("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH"), source=SOURCE)
_FLOAT = types(("float32",), source=SOURCE, fix=STAY_FLOAT)
_WEIGHTS = (constant((1, 2), "weights and bias", source=SOURCE), kernel_size, _CLAMPS)

OPERATIONS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("HARD_SWISH", "LOGISTIC", "RELU", "RELU_N1_TO_1", "RELU6", "TANH"), ()),
    **dict.fromkeys(("ADD", "MUL"), (broadcast,)),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), (_PLAIN,)),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _WEIGHTS),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), (image_padding,)),
    "CONCATENATION": (_PLAIN, along_channels),
    "FULLY_CONNECTED": (constant((1, 2), "weights and bias", source=SOURCE), single_vector),
    "MEAN": (whole_image,),
    "RESIZE_BILINEAR": (constant((1,), "size", source=SOURCE),),
    "SOFTMAX": (plain_beta,),
    "TRANSPOSE_CONV": (constant((0, 1), "size and weights", source=SOURCE), kernel_size),
}

COREML = Delegate(
    name="coreml",
    title="Core ML delegate",
    about="runs parts of a float .tflite on iPhones; a .mlpackage of its own is the better way there",
    source=SOURCE,
    operations=OPERATIONS,
    general=(_FLOAT, first_versions),
    instead={
        "RESHAPE": "It takes one for Core ML 2 only, which no current iOS asks for; keep images as [N, H, W, C].",
        "DEQUANTIZE": STAY_FLOAT,
        "QUANTIZE": STAY_FLOAT,
    },
    notes=(
        "It resizes bilinearly without half-pixel centres whatever the file says: its numbers differ from LiteRT's.",
        "`mobile-seg export --to coreml` writes a .mlpackage, which needs no delegate and keeps 8-bit weights.",
    ),
    unpacks=("float16",),
    fewest=2,
)
