"""Coral's Edge TPU: an 8-bit accelerator whose closed compiler maps one part of a graph."""

from mobile_seg.profiling.delegates.common import activations, only_eight_bits
from mobile_seg.profiling.delegates.graph import Operation
from mobile_seg.profiling.delegates.rules import Delegate, Rule, axes, enlargement, integers, shown, stated

SOURCE = "the table of supported operations, coral.ai/docs/edgetpu/models-intro, runtime 14"
TWINS = "Coral's DeepLab files and their compiled twins, google-coral/test_data"
MOST_ENLARGED = 8
SOFTMAX_LIMIT = 16_000


def fixed_sizes(operation: Operation) -> str | None:
    """Sizes must be fixed, and only the last three sides may be larger than 1.

    Source: "Model requirements", coral.ai/docs/edgetpu/models-intro
    Fix: Export with a fixed input size and batch 1.
    """
    tensors = (*operation.data, *operation.outputs)
    wrong = [one for one in tensors if one.free or any(side != 1 for side in one.shape[:-3])]
    return f"it has {shown(wrong[0])}" if wrong else None


def constant_parameters(operation: Operation) -> str | None:
    """Weights, biases, sizes and axes must be constant.

    Source: "Model requirements", coral.ai/docs/edgetpu/models-intro
    Fix: Fix the sizes in the network, so that the converter folds them.
    """
    if operation.kind not in PARAMETERS:
        return None
    rest = [one for at, one in enumerate(operation.inputs) if at in PARAMETERS[operation.kind] and one is not None]
    wrong = [one for one in rest if not one.constant]
    return f"{shown(wrong[0])} is computed" if wrong else None


PARAMETERS = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "MEAN": (1,),
    "PAD": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "STRIDED_SLICE": (1, 2, 3),
    "SUM": (1,),
    "TILE": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0, 1, 3),
}


def even_dilation(operation: Operation) -> str | None:
    """Dilation must be the same in height and width.

    Source: Conv2d and DepthwiseConv2d, coral.ai/docs/edgetpu/models-intro
    Fix: Use one dilation for both.
    """
    high, wide = operation.dilation
    return None if high == wide else f"it is {high}x{wide}"


def zero_constant(operation: Operation) -> str | None:
    """If an input is a constant, there must be two inputs, and the constant all zeros.

    Source: Concatenation, coral.ai/docs/edgetpu/models-intro
    Fix: Concatenate what is computed only.
    """
    held = [one for one in operation.given if one.constant]
    zero = [(one.zero_points or (0,))[0] for one in held]
    good = not held or (
        len(operation.given) == 2 and all(z == v for one, z in zip(held, zero, strict=True) for v in _flat(one.values))
    )
    return None if good else "it is not"


def _flat(values: object) -> list[int]:
    return [] if values is None else [int(one) for one in values.ravel()]  # type: ignore[attr-defined]


def channels_in_fours(operation: Operation) -> str | None:
    """Reductions must not be over the batch; over the channels, their number must be a multiple of 4.

    Source: Mean, Sum, ReduceMax and ReduceMin, coral.ai/docs/edgetpu/models-intro
    Fix: Average over height and width.
    """
    given, reduced = operation.given[0], axes(operation)
    if reduced is None or (given.rank == 4 and 0 in reduced):
        return f"it is over {reduced}"
    over_channels = operation.kind == "MEAN" and given.rank - 1 in reduced
    return f"{given.shape[-1]} channels" if over_channels and given.shape[-1] % 4 else None


def kept_batch(operation: Operation) -> str | None:
    """Nothing may be padded, packed or split along the batch.

    Source: Pad, Pack and Split, coral.ai/docs/edgetpu/models-intro
    Fix: Work along height, width or channels.
    """
    if operation.kind == "PAD":
        values = integers(operation, 1) or []
        return "it pads the batch" if len(values) == 8 and any(values[:2]) else None
    axis = (integers(operation, 0) or [0])[0] if operation.kind == "SPLIT" else operation.options.get("axis", 0)
    return "it is along the batch" if axis == 0 else None


@stated(most=MOST_ENLARGED)
def precise_resize(operation: Operation) -> str | None:
    """A resize must not start from one pixel, nor enlarge more than {most} times: what is imprecise stays outside.

    The compiler does not publish its limit. In its own files it maps 33x33 to 33x33 and leaves 1x1 to 33x33 and
    33x33 to 513x513 on the CPU; users report 2 times mapped at 64x64 and not at 256x256 (edgetpu issue 31).

    Source: ResizeBilinear, coral.ai/docs/edgetpu/models-intro, and Coral's DeepLab files with their compiled twins
    Fix: Give the logits small and enlarge outside; of one pixel, and nearest in steps, `--target edgetpu` exports it.
    """
    given, made = operation.given[0].shape, operation.outputs[0].shape
    if given == made:
        return None
    wrong = given[1:3] == (1, 1) or max(enlargement(operation)) > MOST_ENLARGED
    return f"{given[1]}x{given[2]} to {made[1]}x{made[2]}" if wrong else None


@stated(limit=SOFTMAX_LIMIT)
def flat_softmax(operation: Operation) -> str | None:
    """A softmax must be of one vector of at most {limit} numbers.

    Source: Softmax, coral.ai/docs/edgetpu/models-intro
    Fix: Leave the softmax out: arg-max does not need it.
    """
    given = operation.given[0]
    good = given.size <= SOFTMAX_LIMIT and all(side == 1 for side in given.shape[:-1])
    return None if good else f"it is of {shown(given)}"


def unit_steps(operation: Operation) -> str | None:
    """A strided slice must have strides of 1 and no ellipsis or new sides.

    Source: StridedSlice, coral.ai/docs/edgetpu/models-intro
    Fix: Take every other pixel with a strided convolution.
    """
    step = integers(operation, 3) or []
    masks = operation.options.get("ellipsis_mask") or operation.options.get("new_axis_mask")
    return None if step and all(one == 1 for one in step) and not masks else f"strides {step}"


def one_vector(operation: Operation) -> str | None:
    """A fully connected layer must have the default weights format and put out one vector.

    Source: FullyConnected, coral.ai/docs/edgetpu/models-intro
    Fix: Use a 1x1 convolution.
    """
    made = operation.outputs[0]
    good = operation.options.get("weights_format", 0) == 0 and all(side == 1 for side in made.shape[:-1])
    return None if good else f"it puts out {shown(made)}"


def flat_slopes(operation: Operation) -> str | None:
    """A PReLU's slopes may differ by channel only.

    Source: PReLU, coral.ai/docs/edgetpu/models-intro
    Fix: Share the slopes over height and width.
    """
    slopes = operation.inputs[1] if len(operation.inputs) > 1 else None
    return None if slopes is not None and all(side == 1 for side in slopes.shape[:-1]) else "they differ by place"


_PLAIN = activations(("NONE",), source=SOURCE)

OPERATIONS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "RSQRT", "L2_NORMALIZATION"), ()),
    **dict.fromkeys(("LOGISTIC", "RELU", "RELU6", "RELU_N1_TO_1", "TANH", "QUANTIZE", "TILE"), ()),
    **dict.fromkeys(
        ("EXPAND_DIMS", "RESHAPE", "SQUEEZE", "SLICE", "SPACE_TO_DEPTH", "TRANSPOSE", "TRANSPOSE_CONV"), ()
    ),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), (channels_in_fours,)),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), (_PLAIN,)),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), (even_dilation,)),
    **dict.fromkeys(("PAD", "PACK", "SPLIT"), (kept_batch,)),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), (precise_resize,)),
    "CONCATENATION": (_PLAIN, zero_constant),
    "FULLY_CONNECTED": (one_vector,),
    "PRELU": (flat_slopes,),
    "SOFTMAX": (flat_softmax,),
    "STRIDED_SLICE": (unit_steps,),
}

EDGETPU = Delegate(
    name="edgetpu",
    title="Edge TPU",
    about="Coral's accelerator; the file must go through edgetpu_compiler, which maps the first part it can",
    source=SOURCE,
    operations=OPERATIONS,
    general=(only_eight_bits(source=SOURCE), fixed_sizes, constant_parameters),
    instead={
        "HARD_SWISH": "Use RELU6: `quantize` trains with what the file will hold.",
        "ARG_MAX": "Give logits, or let arg-max be the last operation: the CPU does it, after the accelerator.",
        "DEQUANTIZE": "Give the output as integers: export with `--io int8`.",
        "edgetpu-custom-op": "It is compiled already: this is the accelerator's own part.",
    },
    notes=(
        "Its compiler is closed and says little; where it does not state a limit, the rule says what is known.",
        'Large activations may refuse the whole file ("large activation tensors"): a smaller input is the only cure.',
        "edgetpu_compiler before 16 refuses resizes with half-pixel centres (google-coral/edgetpu issues 187 and 420).",
    ),
    most=1,
    in_order=True,
)
