"""Rules, each from both sides: what breaks it is found, and the nearest thing that does not is not."""

import numpy as np
import pytest
from unit.profiling.delegates.made import convolution, operation, resize, tensor

from mobile_seg.errors import UsageError
from mobile_seg.profiling.delegates.graph import Operation
from mobile_seg.profiling.delegates.registry import DELEGATES, find
from mobile_seg.profiling.delegates.rules import Delegate, explain, name_of

EVERY = [*DELEGATES.values(), *(find(f"nnapi:{level}") for level in (27, 28, 29))]


@pytest.mark.parametrize("delegate", EVERY, ids=lambda one: one.name)
def test_every_rule_says_its_sentence_its_source_and_its_fix(delegate: Delegate) -> None:
    for kind, rules in delegate.operations.items():
        for rule in (*delegate.general, *rules):
            words = explain(rule)
            assert words.sentence.endswith("."), (kind, words)
            assert words.source, (kind, words)
            assert words.fix.endswith("."), (kind, words)
            assert "{" not in words.sentence
            assert name_of(rule)
    assert all(fix.endswith(".") for fix in delegate.instead.values())


def test_a_docstring_that_is_no_rule_is_refused() -> None:
    def rule(operation: Operation) -> None:
        """Only a sentence."""

    with pytest.raises(ValueError, match="Source"):
        explain(rule)


def broken(delegate: str, given: Operation) -> str | None:
    found = find(delegate).broken(given)
    return None if found is None else found.rule


def image(kind: str, dtype: str, **options: object) -> Operation:
    return operation(kind, [tensor(dtype=dtype)], [tensor(dtype=dtype)], **options)


def argmax(made: str, given: str = "int8", channels: int = 19) -> Operation:
    axis = tensor(values=3, dtype="int32")
    return operation("ARG_MAX", [tensor((1, 8, 8, channels), given), axis], [tensor((1, 8, 8), made)])


def mean(scale: float = 0.5) -> Operation:
    axes = tensor(values=[1, 2], dtype="int32")
    made = tensor((1, 1, 1, 4), scales=(scale,))
    return operation("MEAN", [tensor(), axes], [made], keep_dims=True)


def quantize(given: str, made: str, scale: float = 0.5) -> Operation:
    return operation("QUANTIZE", [tensor(dtype=given)], [tensor(dtype=made, scales=(scale,))])


def pair(kind: str, first: tuple[int, ...], second: tuple[int, ...], scale: float = 0.5) -> Operation:
    made = tensor(tuple(np.broadcast_shapes(first, second)), scales=(scale,))
    return operation(kind, [tensor(first), tensor(second)], [made])


PLAIN = {"stride_h": 1, "stride_w": 1, "filter_height": 2, "filter_width": 2}
SIDES = (1, 8, 8, 4)

HALF = {"half_pixel_centers": True}
CORNERS = {"align_corners": True}
DEPTHWISE = "DEPTHWISE_CONV_2D"
AVERAGE = "AVERAGE_POOL_2D"

CASES = [
    # delegate, an operation it takes, one it refuses, the rule that refuses it
    ("xnnpack", convolution(), convolution(bias=False), "has bias"),
    ("xnnpack", convolution(), convolution(fused_activation_function="TANH"), "fused activation"),
    ("xnnpack", image("HARD_SWISH", "float32"), image("HARD_SWISH", "int8"), "tensor types"),
    ("xnnpack", quantize("int8", "int8"), quantize("uint8", "int8"), "requantization"),
    ("xnnpack", quantize("int8", "int8"), quantize("int8", "int8", 1e-3), "requantization"),
    ("xnnpack", pair("ADD", SIDES, SIDES), pair("ADD", SIDES, SIDES, 1000.0), "sum scales"),
    ("xnnpack", pair("MUL", SIDES, SIDES), pair("MUL", SIDES, SIDES, 1e-5), "product scales"),
    ("xnnpack", resize((4, 4), (8, 8)), resize((4, 4), (8, 8), kind="RESIZE_NEAREST_NEIGHBOR"), "unknown operation"),
    (
        "xnnpack",
        image(AVERAGE, "float32", **PLAIN),
        image(AVERAGE, "int8", **PLAIN),
        "tensor types",
    ),
    ("gpu", argmax("int32"), argmax("int64"), "int32 classes"),
    ("gpu", image("SOFTMAX", "float32", beta=1.0), image("SOFTMAX", "float32", beta=0.5), "plain beta"),
    (
        "gpu",
        operation("RELU", [tensor((1, 2, 2, 4))], [tensor((1, 2, 2, 4))]),
        operation("RELU", [tensor((1, 1, 2, 2, 4))], [tensor((1, 1, 2, 2, 4))]),
        "few sides",
    ),
    ("gpu", pair("ADD", SIDES, (1, 1, 1, 4)), operation("ADD", [tensor()] * 3, [tensor()]), "number of inputs"),
    ("nnapi:30", resize((4, 4), (8, 8), **HALF), mean(0.25), "kept grid"),
    ("nnapi:29", resize((4, 4), (8, 8)), resize((4, 4), (8, 8), **HALF), "old alignment"),
    (
        "nnapi:28",
        convolution("float32"),
        convolution("float32", **dict.fromkeys(("dilation_h_factor", "dilation_w_factor"), 2)),
        "old weights",
    ),
    ("nnapi:28", convolution("float32"), convolution("int8"), "old weights"),
    ("nnapi:30", argmax("int32"), argmax("int64"), "int32 classes"),
    ("nnapi:29", quantize("int8", "uint8"), quantize("uint8", "int8"), "tensor types"),
    ("edgetpu", convolution(), convolution("float32"), "tensor types"),
    ("edgetpu", resize((4, 4), (8, 8)), resize((4, 4), (64, 64)), "precise resize"),
    ("edgetpu", resize((33, 33), (33, 33)), resize((1, 1), (33, 33)), "precise resize"),
    ("edgetpu", convolution(), convolution(dilation_h_factor=2), "even dilation"),
    ("edgetpu", pair("ADD", SIDES, SIDES), pair("ADD", (2, 8, 8, 4), (2, 8, 8, 4)), "fixed sizes"),
    ("coreml", convolution("float32"), convolution("int8"), "tensor types"),
    (
        "coreml",
        operation("CONCATENATION", [tensor(dtype="float32")] * 2, [tensor((1, 8, 8, 8), "float32")], axis=3),
        operation("CONCATENATION", [tensor(dtype="float32")] * 2, [tensor((1, 16, 8, 4), "float32")], axis=1),
        "along channels",
    ),
    ("qnn", convolution(), argmax("int64"), "known types"),
    ("ethos-u", convolution(), convolution("float32"), "integer types"),
    ("ethos-u", resize((4, 4), (16, 16)), resize((4, 4), (12, 12)), "resize step"),
    (
        "ethos-u",
        resize((1, 1), (9, 7), **HALF),
        resize((4, 4), (16, 16), **HALF),
        "half pixels",
    ),
    (
        "ethos-u",
        resize((5, 5), (9, 9), **CORNERS),
        resize((5, 5), (10, 10), **CORNERS),
        "resize step",
    ),
    ("ethos-u", argmax("int64"), argmax("int64", channels=150), "largest channel"),
    (
        "ethos-u",
        convolution(kind=DEPTHWISE),
        convolution(kind=DEPTHWISE, stride_h=4),
        "narrow stride",
    ),
]


@pytest.mark.parametrize(("delegate", "good", "bad", "rule"), CASES)
def test_a_rule_from_both_sides(delegate: str, good: Operation, bad: Operation, rule: str) -> None:
    assert broken(delegate, good) is None
    assert broken(delegate, bad) == rule


def test_weights_with_zero_points_per_channel() -> None:
    given = convolution()
    weights = tensor(values=np.ones((4, 3, 3, 4)), scales=(0.1,) * 4, zeros=(0, 0, 7, 0))
    faulty = operation("CONV_2D", [given.inputs[0], weights, given.inputs[2]], given.outputs, **given.options)
    assert broken("xnnpack", faulty) == "weights grid"
    weights = tensor(values=np.ones((4, 3, 3, 4)), scales=(0.1,) * 4, zeros=(0,) * 4)
    good = operation("CONV_2D", [given.inputs[0], weights, given.inputs[2]], given.outputs, **given.options)
    assert broken("xnnpack", good) is None


def test_every_level_takes_what_the_one_before_took() -> None:
    assert broken("nnapi:27", convolution("float32")) is None
    assert broken("nnapi:30", convolution("float32")) is None
    assert broken("nnapi:27", mean()) == "feature level"
    assert broken("nnapi:29", mean()) is None


def test_newer_androids_take_what_the_last_nnapi_took() -> None:
    assert find("nnapi:35").title == find("nnapi:30").title == "NNAPI 1.3"


@pytest.mark.parametrize(
    ("name", "said"),
    [("tpu", "choose from"), ("gpu:3", "only nnapi"), ("nnapi:ten", "API level"), ("nnapi:12", "27 to 36")],
)
def test_delegates_that_are_not(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find(name)
