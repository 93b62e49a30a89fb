"""What XNNPACK asks of single operations, from the code of its TFLite delegate."""

import math

from mobile_seg.profiling.delegates.graph import Operation
from mobile_seg.profiling.delegates.rules import EIGHT_BIT, integers, per_tensor, same_grid, shown, stated

MOST_SIDES = 6
"""XNN_MAX_TENSOR_DIMS."""


def one_scale(operation: Operation) -> str | None:
    """An 8-bit tensor that is computed must have one scale and zero point for all of it.

    Source: CheckTensorFloat32OrQUInt8Type in xnnpack_delegate.cc of LiteRT
    Fix: Quantize activations per tensor, as every TFLite converter does by default.
    """
    tensors = (*operation.data, *operation.outputs)
    wrong = [one for one in tensors if one.dtype in EIGHT_BIT and not (per_tensor(one) and one.axis == 0)]
    return f"{shown(wrong[0])} has {len(wrong[0].scales)} scales" if wrong else None


def alike(operation: Operation) -> str | None:
    """Inputs and output must have the same type.

    Source: "unsupported mixed types" in xnnpack_delegate.cc of LiteRT
    Fix: Quantize the whole graph or nothing of it; weights alone in 8 bits (dynamic range) stay outside.
    """
    kinds = {one.dtype for one in (*operation.given[:2], *operation.outputs)}
    return f"it mixes {', '.join(sorted(kinds))}" if len(kinds) > 1 else None


def weights_grid(operation: Operation) -> str | None:
    """8-bit weights must have one scale, or one per output channel, each with zero point 0 if they are int8.

    Source: CheckTensorFloat32OrQCInt8Type in xnnpack_delegate.cc of LiteRT
    Fix: Quantize the weights symmetrically.
    """
    weights = operation.inputs[1]
    if weights is None or weights.dtype not in EIGHT_BIT:
        return None
    axis = 3 if operation.kind == "DEPTHWISE_CONV_2D" else 0
    count = len(weights.scales)
    if count > 1 and (weights.dtype == "uint8" or weights.axis != axis or count != weights.shape[axis]):
        return f"its weights have {count} scales along side {weights.axis}"
    if count == 0 or not all(math.isfinite(one) and one > 0 for one in weights.scales):
        return "its weights have no positive finite scale"
    if count > 1 and any(weights.zero_points):
        return "its weights have zero points other than 0"
    return None


def has_bias(operation: Operation) -> str | None:
    """It must have a bias.

    Source: "unsupported CONV_2D node without bias" in xnnpack_delegate.cc of LiteRT
    Fix: Give the layer a bias; zeros will do.
    """
    return None if len(operation.inputs) == 3 and operation.inputs[2] is not None else "it has none"


def pooling_step(operation: Operation) -> str | None:
    """A pooling's stride must not exceed its window, and a 1x1 window must not have a stride.

    Source: CheckPoolingParams in xnnpack_delegate.cc of LiteRT
    Fix: Export with `--target xnnpack`, or take every other pixel with a strided convolution.
    """
    window, stride = operation.window, operation.stride
    if any(step > side for step, side in zip(stride, window, strict=True)):
        return f"window {window}, stride {stride}"
    return None


def block(operation: Operation) -> str | None:
    """The block must be larger than 1, and divide the image's sides.

    Source: VisitDepthToSpaceNode and VisitSpaceToDepthNode in xnnpack_delegate.cc of LiteRT
    Fix: Choose an input size that the block divides.
    """
    size, given = operation.options.get("block_size", 0), operation.given[0]
    divided = operation.kind == "DEPTH_TO_SPACE" or all(side % size == 0 for side in given.shape[1:3] if size > 1)
    return None if size > 1 and divided else f"block {size}, image {list(given.shape)}"


@stated(low="1/1024", high=256)
def sum_scales(operation: Operation) -> str | None:
    """In 8 bits, an input's scale over the output's must lie between {low} and {high}.

    Source: CheckTensorsInputOutputScale in xnnpack_delegate.cc of LiteRT
    Fix: Look for a layer whose range is far off; more calibration images may mend it.
    """
    made = operation.outputs[0]
    if made.dtype not in EIGHT_BIT:
        return None
    ratios = [one.scales[0] / made.scales[0] for one in operation.given[:2] if one.scales]
    wrong = [ratio for ratio in ratios if not 1 / 1024 <= ratio < 256]
    return f"one is {wrong[0]:.3g}" if wrong else None


@stated(low="1/65536", high=256)
def product_scales(operation: Operation) -> str | None:
    """In 8 bits, the product of the inputs' scales over the output's must lie between {low} and {high}.

    Source: CheckTensorsInputProductOutputScale in xnnpack_delegate.cc of LiteRT
    Fix: Look for a layer whose range is far off; more calibration images may mend it.
    """
    first, second, made = *operation.given[:2], operation.outputs[0]
    if made.dtype not in EIGHT_BIT or not (first.scales and second.scales):
        return None
    ratio = first.scales[0] * second.scales[0] / made.scales[0]
    return None if 1 / 65536 <= ratio < 256 else f"it is {ratio:.3g}"


def requantization(operation: Operation) -> str | None:
    """From one 8-bit grid to another, signedness must stay, and the scale change by 1/256 to 128 times.

    Source: QUANTIZE in VisitUnaryNode of xnnpack_delegate.cc of LiteRT
    Fix: Feed the model signed bytes, export with `--io int8`; the first QUANTIZE costs little on the CPU.
    """
    given, made = operation.given[0], operation.outputs[0]
    if given.dtype == "float32":
        return None
    if given.dtype != made.dtype:
        return f"it goes from {given.dtype} to {made.dtype}"
    ratio = given.scales[0] / made.scales[0]
    return None if 1 / 256 <= ratio <= 128 else f"the scale changes {ratio:.3g} times"


def leak(operation: Operation) -> str | None:
    """The slope must not be 0, and in 8 bits scales may change by 1/256 to 128 times.

    Source: LEAKY_RELU in VisitUnaryNode of xnnpack_delegate.cc of LiteRT
    Fix: Use RELU6 or HARD_SWISH.
    """
    alpha, given, made = operation.options.get("alpha", 0.0), operation.given[0], operation.outputs[0]
    if alpha == 0.0 or not math.isfinite(alpha):
        return f"the slope is {alpha}"
    if given.dtype in EIGHT_BIT:
        up = given.scales[0] / made.scales[0]
        if not (1 / 256 <= up <= 128 and -127.99609375 <= up * alpha <= 128 and abs(up * alpha) >= 1 / 256):
            return f"scale {up:.3g} times, slope {alpha:g}"
    return None


def unchanged_grid(operation: Operation) -> str | None:
    """In 8 bits, input and output must have the same scale and zero point.

    Source: VisitReshapeNode in xnnpack_delegate.cc of LiteRT
    Fix: Quantize again: what only moves numbers keeps their grid.
    """
    given, made = operation.given[0], operation.outputs[0]
    return "they differ" if made.dtype in EIGHT_BIT and not same_grid(given, made) else None


def joined_grid(operation: Operation) -> str | None:
    """In uint8, all inputs must have the output's scale and zero point.

    Source: VisitConcatenationNode in xnnpack_delegate.cc of LiteRT
    Fix: Export int8 instead.
    """
    made = operation.outputs[0]
    return "they differ" if made.dtype == "uint8" and not same_grid(*operation.given, made) else None


def plain_beta(operation: Operation) -> str | None:
    """The softmax must have beta 1.

    Source: VisitSoftmaxNode in xnnpack_delegate.cc of LiteRT
    Fix: Scale the logits before the softmax.
    """
    beta = operation.options.get("beta", 0.0)
    return None if beta == 1.0 else f"beta is {beta:g}"


def paddings(operation: Operation) -> str | None:
    """Padding must be constant int32, not negative, one pair for each side.

    Source: VisitPadNode in xnnpack_delegate.cc of LiteRT
    Fix: Pad inside the convolution with `padding="same"`.
    """
    pads, values = operation.inputs[1], integers(operation, 1)
    good = values is not None and pads is not None and pads.dtype == "int32" and min(values, default=0) >= 0
    return None if good and pads and pads.shape == (operation.given[0].rank, 2) else f"it is {values}"


def plain_slice(operation: Operation) -> str | None:
    """A strided slice must have constant int32 bounds inside the tensor, strides 1 and no masks that change sides.

    Source: VisitStridedSliceNode in xnnpack_delegate.cc of LiteRT
    Fix: Crop with `tf.slice`, which becomes SLICE.
    """
    options = operation.options
    if any(options.get(f"{mask}_mask") for mask in ("ellipsis", "new_axis", "shrink_axis")):
        return "it has a mask that changes the number of sides"
    begin, end, step = (integers(operation, at) for at in (1, 2, 3))
    if begin is None or end is None or step is None or any(one != 1 for one in step):
        return f"strides {step}"
    if not len(begin) == len(end) == operation.given[0].rank:
        return "not every side has bounds"
    return None


def known_slice(operation: Operation) -> str | None:
    """A slice's bounds must be constant, and its sizes positive.

    Source: VisitSliceNode in xnnpack_delegate.cc of LiteRT
    Fix: Give the crop's size in numbers.
    """
    begin, size = integers(operation, 1), integers(operation, 2)
    return None if begin is not None and size is not None and min(size, default=0) > 0 else f"sizes {size}"


def parts(operation: Operation) -> str | None:
    """A split must make two to four parts.

    Source: VisitSplitNode in xnnpack_delegate.cc of LiteRT
    Fix: Split in two steps.
    """
    count = len(operation.outputs)
    return None if 2 <= count <= 4 else f"it makes {count}"


def plain_weights(operation: Operation) -> str | None:
    """Weights of a fully connected layer must be in the default format, and not sparse (version 8).

    Source: VisitFullyConnectedNode in xnnpack_delegate.cc of LiteRT
    Fix: Use a 1x1 convolution.
    """
    shuffled = operation.options.get("weights_format", 0) != 0 or operation.version == 8
    return "they are shuffled or sparse" if shuffled else None


def sizes(operation: Operation) -> str | None:
    """Every side of an input must be known and larger than 0, with six sides at most.

    Source: CheckTensorShape in xnnpack_delegate.cc of LiteRT
    Fix: Export with a fixed input size.
    """
    wrong = [one for one in operation.given if min(one.shape, default=1) < 1 or one.rank > MOST_SIDES]
    return f"it has {shown(wrong[0])}" if wrong else None
