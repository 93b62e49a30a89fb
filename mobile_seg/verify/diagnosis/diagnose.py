"""Why an artifact does not follow its model: which of the mistakes that people really make explains it.

Each hypothesis is one function whose docstring is the rule. It makes its mistake on purpose, on the reference's
side; the one under which the two agree again is what happened.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mobile_seg.imaging import Image
from mobile_seg.verify.compare import Agreement
from mobile_seg.verify.diagnosis.case import Case, Hypothesis
from mobile_seg.verify.diagnosis.ends import (
    argmax_over_wrong_axis,
    channels_swapped,
    labels_off_by_one,
    layout_mixed_up,
    normalization_missing,
    normalization_twice,
    zero_point_wrong,
)
from mobile_seg.verify.diagnosis.resize import align_corners, off_by_one
from mobile_seg.verify.diagnosis.weights import bias_dropped, kernel_transposed
from mobile_seg.verify.runners import Runner

HYPOTHESES: dict[str, Hypothesis] = {
    "channels-swapped": channels_swapped,
    "normalization-missing": normalization_missing,
    "normalization-twice": normalization_twice,
    "align-corners": align_corners,
    "resize-off-by-one": off_by_one,
    "layout-mixed-up": layout_mixed_up,
    "kernel-transposed": kernel_transposed,
    "zero-point-wrong": zero_point_wrong,
    "bias-dropped": bias_dropped,
    "argmax-wrong-axis": argmax_over_wrong_axis,
    "labels-off-by-one": labels_off_by_one,
}
"""Name → the function that makes the mistake."""

UNKNOWN = "not one of the known mistakes"

GAIN_DB = 10.0
"""Of logits: nine tenths of the squared difference must be the mistake's; no constant makes that of rounding noise."""

LEFT = 0.25
"""Of class ids: so much of the pixels that differed may still differ; at borders a mistake's edges stay rough."""

ENOUGH = 0.9
"""And this share of pixels must have the same class: less bad is not explained."""

SOUND_DB = 60.0
"""A thousandth of the range (rms) apart, with the same classes, there is nothing to explain."""


@dataclass(frozen=True)
class Finding:
    """A mistake that explains the difference.

    `name` is a key of `HYPOTHESES`, `explanation` one sentence with the fix; `agreement` is what the two
    reach with that mistake taken into account.
    """

    name: str
    explanation: str
    agreement: Agreement


def diagnose(reference: Runner, candidate: Runner, images: Iterable[Image]) -> tuple[Finding, ...]:
    """Name the mistakes that explain why `candidate` does not follow `reference`, the likeliest first.

    Args:
        reference: the Keras model; of another kind of runner, its weights and resizes are not looked into.
        images: `[H, W, 3]` uint8 of any size; the first four are used.

    Returns nothing if the two agree, or if no known mistake explains most of the difference.

    Raises:
        UsageError: if there is no image, or the two cannot be compared.
        ParityError: for logits that are NaN or infinite.
    """
    case = Case(reference, candidate, images)
    before = case.agreement(case.expected, case.given)
    if _is_sound(before):
        return ()
    # Most mistakes are ruled out by the image that they would show on most.
    singles = [case.agreement([one], [other]) for one, other in zip(case.expected, case.given, strict=True)]
    worst = min(range(len(singles)), key=lambda number: _closeness(singles[number]))
    suspects = [
        hypothesis for hypothesis in HYPOTHESES if _best(case.alone(worst), singles[worst], hypothesis) is not None
    ]
    findings = [_best(case, before, hypothesis) for hypothesis in suspects]
    return tuple(sorted(filter(None, findings), key=lambda one: _closeness(one.agreement), reverse=True))


def _best(case: Case, before: Agreement, name: str) -> Finding | None:
    """The way in which a mistake explains most, or None if it explains too little in every way."""
    trials = [(trial, case.agreement(trial.expected, trial.given)) for trial in HYPOTHESES[name](case)]
    explaining = [(trial, after) for trial, after in trials if _explains(before, after)]
    if not explaining:
        return None
    trial, _ = max(explaining, key=lambda one: _closeness(one[1]))
    return Finding(name, trial.fix, case.agreement(trial.expected, trial.given, shift=True))


def summary(findings: tuple[Finding, ...]) -> str:
    """One line for an error message: the likeliest mistake and its fix, or that it is none of the known ones."""
    return f"{findings[0].name}: {findings[0].explanation}" if findings else UNKNOWN


def _is_sound(agreement: Agreement) -> bool:
    close = agreement.psnr_db is None or agreement.psnr_db >= SOUND_DB
    return close and agreement.argmax >= 0.9999


def _explains(before: Agreement, after: Agreement) -> bool:
    if after.argmax < max(before.argmax, ENOUGH):
        return False
    if before.psnr_db is not None and after.psnr_db is not None:
        return after.psnr_db >= before.psnr_db + GAIN_DB
    return 1.0 - after.argmax <= LEFT * (1.0 - before.argmax)


def _closeness(agreement: Agreement) -> tuple[float, float]:
    return -math.inf if agreement.psnr_db is None else agreement.psnr_db, agreement.argmax
