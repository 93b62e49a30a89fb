"""Ethos-U55 and U65: Arm's NPUs for microcontrollers and small boards, compiled for by Vela."""

from mobile_seg.profiling.delegates import ethos_u_rules as rules
from mobile_seg.profiling.delegates.rules import Delegate, Rule

SOURCE = "vela --supported-ops-report of ethos-u-vela 5.2, for Ethos-U55 and U65"

_WEIGHTS = (rules.weights_kind, rules.bias_kind)
_GIVEN = (rules.constant_parameters,)

OPERATIONS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "HARD_SWISH"), ()),
    **dict.fromkeys(("TANH", "LOGISTIC", "EXP", "ABS", "NEG", "QUANTIZE", "TILE"), ()),
    **dict.fromkeys(("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE"), ()),
    **dict.fromkeys(("CONCATENATION", "PACK", "UNPACK", "SPLIT", "SPLIT_V", "SUM"), ()),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), ()),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), (rules.compared_grid,)),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD", "SLICE", "STRIDED_SLICE"), _GIVEN),
    **dict.fromkeys(("GELU", "LOG", "ELU"), (rules.same_kind,)),
    "ARG_MAX": (rules.largest_channel,),
    "AVERAGE_POOL_2D": (rules.pooling_window, rules.wide_stride),
    "CONV_2D": (*_WEIGHTS, rules.wide_stride),
    "DEPTHWISE_CONV_2D": (*_WEIGHTS, rules.narrow_stride),
    "FULLY_CONNECTED": _WEIGHTS,
    "MAX_POOL_2D": (rules.pooling_window, rules.wide_stride),
    "MEAN": (*_GIVEN, rules.averaged_sides),
    "RESIZE_BILINEAR": (rules.resize_step, rules.half_pixels),
    "RESIZE_NEAREST_NEIGHBOR": (rules.resize_step,),
    "RSQRT": (rules.signed_input,),
    "SOFTMAX": (rules.sharp_softmax,),
    "TRANSPOSE": (*_GIVEN, rules.moved_sides),
    "TRANSPOSE_CONV": (*_WEIGHTS, rules.enlarging_steps),
}

ETHOS_U = Delegate(
    name="ethos-u",
    title="Ethos-U",
    about="Arm's U55 and U65 NPUs; the file must go through their compiler, Vela, before it runs there",
    source=SOURCE,
    operations=OPERATIONS,
    general=(rules.known_sizes, rules.integer_types, rules.grids, rules.one_scale),
    instead={
        "DEQUANTIZE": "Give the output as integers: export with `--io int8`.",
        "DEPTH_TO_SPACE": "Use a transposed convolution with stride 2.",
    },
    notes=(
        "What does not fit into the system's SRAM makes the NPU slow, not wrong: Vela's own report says how much.",
        "BATCH_MATMUL, REDUCE_MAX, REVERSE_V2 and LSTMs, which Vela knows, are in no network of ours and not judged.",
    ),
    judge="ethos-u-vela, whose cycle counts are estimates",
)
