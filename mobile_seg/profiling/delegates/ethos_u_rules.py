"""What Arm's Ethos-U55 and U65 take, from the constraints that their compiler, Vela, states of itself."""

import math

import numpy as np

from mobile_seg.profiling.delegates.graph import WEIGHTED, Operation, Tensor
from mobile_seg.profiling.delegates.rules import (
    EIGHT_BIT,
    axes,
    enlargement,
    integers,
    per_tensor,
    same_grid,
    shown,
    stated,
)

INT32 = ("ADD", "SUB", "MUL", "NEG", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "MIRROR_PAD", "SUM")
UNQUANTIZED = ("ARG_MAX", "TRANSPOSE", "MIRROR_PAD", "PAD", "PADV2", "EXPAND_DIMS")
LARGEST_SUM = 127 * 65536
LARGEST_SIDE = 65536


def features(operation: Operation) -> tuple[Tensor, ...]:
    """The inputs that are images or vectors, as opposed to weights, sizes and axes."""
    if operation.kind in WEIGHTED:
        data = operation.inputs[2 if operation.kind == "TRANSPOSE_CONV" else 0]
        return () if data is None else (data,)
    if operation.kind in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "CONCATENATION", "PACK"):
        return operation.given
    first = operation.inputs[1 if operation.kind == "SPLIT" else 0]
    return () if first is None else (first,)


def compared(operation: Operation) -> tuple[Tensor, ...]:
    """Features, weights and outputs: what types and scales are asked of."""
    weights = operation.inputs[WEIGHTED[operation.kind]] if operation.kind in WEIGHTED else None
    return (*features(operation), *([weights] if weights is not None else []), *operation.outputs)


def known_sizes(operation: Operation) -> str | None:
    """Tensors must have sizes that are known and larger than 0.

    Source: "Tensors must have constant shape" of Vela
    Fix: Export with a fixed input size.
    """
    wrong = [one for one in compared(operation) if min(one.shape, default=1) < 1]
    return f"it has {shown(wrong[0])}" if wrong else None


def integer_types(operation: Operation) -> str | None:
    """Features must be int8, uint8 or int16; int32 only where the NPU adds or moves it, int64 only out of ARG_MAX.

    Source: "Feature-map dataTypes", "32-bit feature-maps" and "64-bit feature-maps" of Vela
    Fix: Export with `--precision int8`.
    """
    wide = {"ARG_MAX": ("int32", "int64")}.get(operation.kind, ("int32",) if operation.kind in INT32 else ())
    tensors = (*features(operation), *operation.outputs)
    wrong = [one for one in tensors if one.dtype not in (*EIGHT_BIT, "int16", *wide)]
    return f"it has {shown(wrong[0])}" if wrong else None


def grids(operation: Operation) -> str | None:
    """Features, weights and outputs must be quantized, with positive scales.

    Source: "must have quantization parameters" and "Quantization scale must be positive" of Vela
    Fix: Export with `--precision int8`.
    """
    if operation.kind in UNQUANTIZED:
        return None
    for tensor in compared(operation):
        if not tensor.scales:
            return f"{shown(tensor)} has no scale"
        if not all(math.isfinite(one) and one > 0 for one in tensor.scales):
            return f"{shown(tensor)} has a scale that is not positive"
    return None


def one_scale(operation: Operation) -> str | None:
    """Only weights of convolutions and fully connected layers may have one scale per channel.

    Source: "Per-axis quantization is not supported" of Vela
    Fix: Quantize activations per tensor.
    """
    wrong = [one for one in (*features(operation), *operation.outputs) if len(one.scales) > 1]
    return f"{shown(wrong[0])} has {len(wrong[0].scales)}" if wrong else None


@stated(limit=LARGEST_SUM)
def weights_kind(operation: Operation) -> str | None:
    """Weights must be constant, in 8 bits, and their absolute sum for one output at most {limit}.

    Source: "Weight tensors must be 8-bit precision" and "Weight sum constraints" of Vela
    Fix: Export with `--precision int8`.
    """
    weights = operation.inputs[1]
    if weights is None or weights.values is None:
        return "they are computed"
    if weights.dtype not in EIGHT_BIT:
        return f"they are {weights.dtype}"
    channel = 3 if operation.kind == "DEPTHWISE_CONV_2D" else 0
    rest = tuple(side for side in range(weights.rank) if side != channel)
    zero = weights.zero_points[0] if per_tensor(weights) and weights.zero_points else 0
    total = int(np.abs(weights.values.astype(np.int64) - zero).sum(axis=rest).max())
    return None if total <= LARGEST_SUM else f"it is {total}"


def bias_kind(operation: Operation) -> str | None:
    """A bias must be a constant vector of int32, or of int64 that fits into 40 bits.

    Source: "Bias tensors must be constant" and what follows it of Vela
    Fix: Export with `--precision int8`.
    """
    at = 3 if operation.kind == "TRANSPOSE_CONV" else 2
    bias, values = operation.inputs[at] if len(operation.inputs) > at else None, integers(operation, at)
    if bias is None:
        return None
    if values is None or bias.dtype not in ("int32", "int64"):
        return f"it is {shown(bias)}"
    return "its values need more than 40 bits" if any(abs(one) >= 2**40 for one in values) else None


def wide_stride(operation: Operation) -> str | None:
    """A stride above 3 needs a kernel without dilation and an image without padding.

    Source: "Stride>3 is only supported IF dilation = 1 AND padding = VALID" of Vela
    Fix: Stride twice by 2 instead of once by 4.
    """
    good = max(operation.stride) <= 3 or (operation.dilation == (1, 1) and operation.padding == "VALID")
    return None if good else f"it is {operation.stride[0]}x{operation.stride[1]}, {operation.padding}"


def narrow_stride(operation: Operation) -> str | None:
    """Strides must be 1 to 3.

    Source: "Kernel stride must be in the range (1,3)" of Vela
    Fix: Stride twice by 2 instead of once by 4.
    """
    good = all(1 <= step <= 3 for step in operation.stride)
    return None if good else f"it is {operation.stride[0]}x{operation.stride[1]}"


def enlarging_steps(operation: Operation) -> str | None:
    """A transposed convolution must have stride 1x1 or 2x2, and an output that its stride and kernel give.

    Source: "Shape constraints" and "Stride values" of TRANSPOSE_CONV of Vela
    Fix: Enlarge by 2 as often as needed.
    """
    given, weights, made = operation.inputs[2], operation.inputs[1], operation.outputs[0]
    if given is None or weights is None:
        return "its image or weights are missing"
    steps, kernel = operation.stride, weights.shape[1:3]
    lines = [step == 2 and given.shape[at + 1] == kernel[at] == 1 for at, step in enumerate(reversed(steps))]
    if steps not in ((1, 1), (2, 2)) and not any(lines):
        return f"it has stride {steps[0]}x{steps[1]}"
    for side, (step, size) in enumerate(zip(steps, kernel, strict=True), 1):
        rest = 0 if operation.padding == "SAME" else max(size - step, 0)
        if made.shape[side] != given.shape[side] * step + rest:
            return f"from {list(given.shape)} to {list(made.shape)}"
    return None


def pooling_window(operation: Operation) -> str | None:
    """An average over more than 8 pixels a side must not be padded; no window may exceed 256 rows or 65536 pixels.

    Source: "Kernel constraints" of AVERAGE_POOL_2D and MAX_POOL_2D of Vela
    Fix: Use a mean over the whole image.
    """
    high, wide = operation.window
    if operation.kind == "AVERAGE_POOL_2D" and operation.padding == "SAME":
        good = high <= 8 and wide <= 8
    else:
        good = high <= 256 and high * wide <= 256 * 256
    return None if good else f"it is {high}x{wide}, {operation.padding}"


def resize_step(operation: Operation) -> str | None:
    """A resize must enlarge by 2, 4 or 8, equally in both directions, or start from a single pixel.

    Source: "Scale-factor" of RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR of Vela
    Fix: Choose an input size that leaves every level a whole multiple of the next, and enlarge in steps of 2.
    """
    given, made = operation.given[0].shape, operation.outputs[0].shape
    if given[1:3] == (1, 1) or given == made:
        return None
    high, wide = enlargement(operation)
    if high != wide:
        line = (made[1] == 1 and high == 1) or (made[2] == 1 and wide == 1)
        return None if line and max(high, wide) in (2, 4, 8) else f"{high:.4g}x{wide:.4g} times"
    return None if high in (2, 4, 8) else f"{high:.4g} times"


def half_pixels(operation: Operation) -> str | None:
    """A bilinear resize with half-pixel centres must enlarge by exactly 2, or start from a single pixel.

    Source: "IF half pixel centers: Scale-factor needs to be 2x" of RESIZE_BILINEAR of Vela
    Fix: Enlarge by 2 as often as needed, or align the corners.
    """
    given, made = operation.given[0].shape, operation.outputs[0].shape
    if not operation.options.get("half_pixel_centers") or given[1:3] == (1, 1) or given == made:
        return None
    return None if set(enlargement(operation)) <= {1.0, 2.0} else f"{given[1]}x{given[2]} to {made[1]}x{made[2]}"


def compared_grid(operation: Operation) -> str | None:
    """Both inputs and the output must have the same scale and zero point.

    Source: "Both Input quantization parameters must match OFM quantization parameters" of Vela
    Fix: Use RELU6 or another clamp in place of MAXIMUM and MINIMUM.
    """
    return None if same_grid(*operation.given[:2], operation.outputs[0]) else "they differ"


def largest_channel(operation: Operation) -> str | None:
    """Arg-max must be over the channels, 127 at most.

    Source: "IFM depth must be less than or equal to 127" and "along the depth axis" of Vela
    Fix: Take the arg-max over the last side of [N, H, W, C].
    """
    given = operation.given[0]
    if axes(operation) != (given.rank - 1,):
        return f"it is along side {axes(operation)}"
    return None if given.shape[-1] <= 127 else f"it has {given.shape[-1]} channels"


def averaged_sides(operation: Operation) -> str | None:
    """A mean must be of one image, over sides below 4096, of at most 2^24 int8 numbers (uint8 2^23, int16 2^16).

    Source: the constraints of MEAN of Vela
    Fix: Average over height and width only.
    """
    given, reduced = operation.given[0], axes(operation)
    if reduced is None or not given.rank:
        return "its axes are computed"
    if given.rank == 4 and given.shape[0] != 1:
        return f"it is {shown(given)}"
    if given.rank - 1 in reduced and given.shape[-1] > 1 and 1 not in given.shape[-3:]:
        return "it averages over channels"
    most = {"int16": 2**16, "uint8": 2**23}.get(given.dtype, 2**24)
    sides = [given.shape[one] for one in reduced]
    return None if math.prod(sides) <= most and max(sides, default=0) < 4096 else f"it is {shown(given)}"


def constant_parameters(operation: Operation) -> str | None:
    """Paddings, bounds and orders must be constant int32 or int64.

    Source: "Parameter tensors must be constant" of Vela
    Fix: Give sizes and crops in numbers.
    """
    rest = [one for one in operation.given[1:] if not one.constant or one.dtype not in ("int32", "int64")]
    return f"{shown(rest[0])} is not" if rest else None


def sharp_softmax(operation: Operation) -> str | None:
    """A softmax must be over fewer than 65536 pixels.

    Source: "The product of IFM width and height must be less than 65536" of Vela
    Fix: Leave the softmax out: arg-max does not need it.
    """
    given = operation.given[0]
    pixels = math.prod(given.shape[-3:-1]) if given.rank > 2 else 1
    return None if pixels < LARGEST_SIDE else f"it is {shown(given)}"


def moved_sides(operation: Operation) -> str | None:
    """What a transpose moves must fit: below 65536 in every side, or in the product of all but two.

    Source: the constraints of TRANSPOSE of Vela
    Fix: Keep images as [N, H, W, C] throughout.
    """
    given, order = operation.given[0], integers(operation, 1)
    if order is None or given.rank > 8:
        return f"it is {order}"
    return None if max(given.shape, default=0) <= LARGEST_SIDE else f"it is {shown(given)}"


def same_kind(operation: Operation) -> str | None:
    """Input and output must have the same shape, and the same type of 8 bits (LOG: int8 or int16, ELU: int8).

    Source: "IFM and OFM datatypes must match" of Vela
    Fix: Use RELU6 or HARD_SWISH.
    """
    given, made = operation.given[0], operation.outputs[0]
    taken = {"ELU": ("int8",), "LOG": ("int8", "int16")}.get(operation.kind, EIGHT_BIT)
    good = given.shape == made.shape and given.dtype == made.dtype and given.dtype in taken
    return None if good else f"{shown(given)} to {shown(made)}"


def signed_input(operation: Operation) -> str | None:
    """The input must be int8 or int16.

    Source: "IFM must be Int8 or Int16" of RSQRT of Vela
    Fix: Export with `--precision int8`.
    """
    return None if operation.given[0].dtype in ("int8", "int16") else f"it is {operation.given[0].dtype}"
