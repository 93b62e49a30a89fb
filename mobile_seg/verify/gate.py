"""The parity gate: how closely an artifact must follow the model it was made from."""

from dataclasses import dataclass

from mobile_seg.errors import ParityError, choose
from mobile_seg.verify.compare import Agreement


@dataclass(frozen=True)
class Floor:
    """The least share of pixels with the same class, against which reference, and why it is that.

    `within_2_steps` is the least share of logits within 2 steps of the output scale, where there are steps.
    """

    argmax: float
    reference: str
    reason: str
    within_2_steps: float = 0.0


_PALETTE_REASON = (
    "weights replaced by the nearest of {} values: the best choice for normally distributed ones leaves them {} dB "
    "above the error (Max, 1960), {} of a weight (rms) and of each convolution's output; sqrt(30) times that over 30 "
    "in a row is {} of the logits' deviation, {} of a range eight deviations wide; two logits that err apart flip the "
    "pixels tied within twice that, {}"
)

FLOORS = {
    "float32": Floor(
        argmax=0.9999,
        reference="the Keras model",
        reason="the same float32 arithmetic in another order: relative error about 1e-6 per layer, so that only "
        "pixels whose two best logits are equal to about 1e-4 of their range may flip",
    ),
    "float16": Floor(
        argmax=0.999,
        reference="the Keras model",
        reason="weights rounded to 11 significant bits, 2^-11/sqrt(3) = 2.8e-4 of each (rms), but those of the first, "
        "narrow layers: in a wide one, where hundreds of roundings average out, about 5e-5 of what a pixel sums up is "
        "left, over 30 convolutions in a row sqrt(30) times that, 2.7e-4 of the range; two logits that err apart flip "
        "the pixels that are tied within twice that, 5e-4, twice as many where margins are not spread evenly",
    ),
    "int8": Floor(
        argmax=0.995,
        within_2_steps=0.999,
        reference="its own QAT graph",
        reason="the settled graph computes what XNNPACK's kernels compute, to the bit; what may differ are tensors "
        "moved from one scale to another inside (XNNPACK multiplies by 8-bit factors there) and sums above 2^24. "
        "A step of 256 that such a tensor is off by moves few logits, and flips only pixels tied within it: 1/256 = "
        "0.4% if the margin were spread evenly over the range",
    ),
    "int16x8": Floor(
        argmax=0.998,
        within_2_steps=0.995,
        reference="its own QAT graph",
        reason="both round to grids of 65536 steps, but the kernels multiply by factors of 15 bits: 2^-16 of a value "
        "off in every layer, half as much again for rounding, and sqrt(30) of that over 30 layers in a row: 1.3e-4 "
        "of the range; two logits that err apart by three times that flip the pixels tied within 8e-4. The "
        "camera's 8-bit image is exact in both",
    ),
    "w8": Floor(
        argmax=0.98,
        reference="its own QAT graph",
        reason="the kernels round each convolution's input to 256 steps of its own range as they go, which the graph "
        "does not: 1/256/sqrt(12) = 1.1e-3 of the range (rms), sqrt(30) times that over 30 convolutions in a row, "
        "6e-3; two logits that err apart flip the pixels tied within 1.2e-2, the rest is for ranges that outliers "
        "stretch",
    ),
    **{
        precision: Floor(argmax=argmax, reference="the Keras model", reason=_PALETTE_REASON.format(*figures))
        for precision, argmax, figures in (
            ("palette8", 0.98, (256, 44, "0.6%", "3.5%", "0.4%", "0.9%")),
            ("palette6", 0.95, (64, 32, "2.5%", "14%", "1.7%", "3.5%")),
            ("palette4", 0.85, (16, 20, "10%", "55%", "7%", "14%")),
        )
    },
}
"""Floors by precision.

Each follows from how large a margin between the two best logits rounding can overturn, and from the
share of pixels that have so small a margin when margins are spread evenly over the output's range
(trained models are surer than that; the pixels at fault lie on the borders between objects).
The floors of int8, int16x8 and w8 are against the QAT graph, not the float model: what quantization
costs is measured by mIoU, the gate only says that the converter changed nothing. They are provisional
until they have been measured over every model, and may then only rise.
"""

OF_TARGETS = {
    ("onnx", "int8"): Floor(
        argmax=0.995,
        within_2_steps=0.99,
        reference="its own QAT graph",
        reason="ONNX Runtime's convolutions, products and sums compute what the settled graph does, to the bit; its "
        "means, resizes and moves between grids round in floats, to even: a step of 256 off wherever a number falls "
        "between two, in the few layers of that kind that a network has. Such a step flips only pixels tied within it",
    ),
    ("coreml", "float16"): Floor(
        argmax=0.99,
        reference="the Keras model",
        reason="every result is rounded to 11 significant bits, not the weights alone: 2^-11/sqrt(3) = 2.8e-4 of a "
        "value (rms), sqrt(260) times that over the 260 operations of a network of ours, 4.5e-3 of the logits; two "
        "that err apart flip the pixels tied within 9e-3",
    ),
    ("coreml", "int8"): Floor(
        argmax=0.96,
        reference="its own QAT graph",
        reason="between two roundings to 8 bits the package computes in float16, where half a step of 2^-8 is no "
        "longer told apart from a little less: one in eight numbers falls to the other side, 0.35 steps (rms) in each "
        "of 30 layers in a row, 2 steps of 256 in the logits; two that err apart flip the pixels tied within 4/256, "
        "twice that where ranges are wide",
    ),
}
"""Floors of runtimes that round otherwise than LiteRT."""

MASK_SHIFT_PX = 0.25
"""How far masks may lie from the reference's, in input pixels.

Pixels taken at corners instead of centres move masks by (s - 1) / 2 of a resize's output pixels; the least case, a
factor of 2 at input size, is half a pixel, and a padding on the wrong side is one. Sound files, weights of 4 bits
included, measure 0. Half a pixel leaves 95% of the pixels as they were, which the lower floors would let pass.
"""


def floor_of(precision: str, target: str = "tflite") -> Floor:
    """Return the floor of a precision on a target: `tflite`, `onnx` or `coreml`.

    Raises:
        UsageError: for a precision that has none.
    """
    return OF_TARGETS.get((target, precision)) or FLOORS[choose("precision", precision, tuple(FLOORS))]


def check(agreement: Agreement, *, precision: str, artifact: str, target: str = "tflite") -> None:
    """Let an artifact pass, or say why not. `artifact` is its name in the message.

    Raises:
        UsageError: for a precision that has no floor.
        ParityError: if the output is constant while the reference's is not, agreement is below the floor, or the
            masks lie elsewhere.
    """
    floor = floor_of(precision, target)
    refuse_collapsed(agreement, artifact=artifact, reference=floor.reference)
    if not agreement.argmax >= floor.argmax:
        steps = "" if agreement.max_steps is None else f" (largest difference {agreement.max_steps:.1f} output steps)"
        raise ParityError(
            f"{artifact}: argmax agreement with {floor.reference} is {agreement.argmax:.5f}{steps}, below the "
            f"{precision} floor of {floor.argmax}; do not ship it: export again from the checkpoint it should hold, "
            "and if it stays, report the model and its options"
        )

    if agreement.within_2_steps is not None and not agreement.within_2_steps >= floor.within_2_steps:
        raise ParityError(
            f"{artifact}: only {agreement.within_2_steps:.5f} of its logits lie within 2 output steps of "
            f"{floor.reference}, below the {precision} floor of {floor.within_2_steps}; export again from the "
            "checkpoint it should hold, and if it stays, report the model and its options"
        )
    if agreement.mask_distance_px is not None and agreement.mask_distance_px > MASK_SHIFT_PX:
        down, right = agreement.mask_shift_px or (0.0, 0.0)
        raise ParityError(
            f"{artifact}: its masks lie {down:+.2f} pixels down and {right:+.2f} right of those of {floor.reference}; "
            f"at most {MASK_SHIFT_PX} is rounding: look for a resize or a padding that takes pixels elsewhere"
        )


def refuse_collapsed(agreement: Agreement, *, artifact: str, reference: str) -> None:
    """Let an artifact pass unless it gives one class everywhere while the reference does not.

    Raises:
        ParityError: if so.
    """
    if is_collapsed(agreement):
        raise ParityError(
            f"{artifact}: every pixel of every image has the same class, while {reference} predicts "
            f"{agreement.reference_classes} classes: its activations are saturated; calibrate on more images that "
            "look like the training data, and check that the input's normalisation is as the manifest says"
        )


def is_collapsed(agreement: Agreement) -> bool:
    """Say whether the candidate gives one class everywhere while the reference does not."""
    return (
        agreement.candidate_classes == 1 and agreement.reference_classes is not None and agreement.reference_classes > 1
    )
