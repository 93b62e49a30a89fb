"""The rules a record of results must keep. Each names the key in dots, as in `latency_ms.2.infer`."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mobile_seg.errors import ProfileError, UsageError

PHASES = ("float", "qat", "int8")
STAGES = ("pre", "infer", "post")


def keys(
    where: str, value: Any, *, required: Collection[str], optional: Collection[str] = (), nullable: str = ""
) -> None:
    """A mapping holds every required key, with a value (`nullable` may be null), and none that is unknown.

    Raises:
        ProfileError: for a missing key or a null.
        UsageError: for an unknown key, or something that is not a mapping.
    """
    if value is None:
        raise missing(where)
    if not isinstance(value, Mapping):
        raise UsageError(f"results: {where or 'the record'} must be a mapping, not {type(value).__name__}")
    for key in required:
        if key not in value or (value[key] is None and key != nullable):
            raise missing(_join(where, key))
    unknown = sorted(str(key) for key in value if key not in required and key not in optional)
    if unknown:
        accepted = ", ".join([*required, *optional])
        raise UsageError(f"results: unknown key {_join(where, unknown[0])!r}; accepted here: {accepted}")


def text(where: str, value: Any) -> None:
    """A name or a sentence: a string that is not empty."""
    if value is None or value == "":
        raise missing(where)
    if not isinstance(value, str):
        raise UsageError(f"results: {where} must be text, not {type(value).__name__}")


def number(where: str, value: Any, *, above: float | None = None, low: float = 0.0, high: float = math.inf) -> None:
    """A measured number: finite, a plain `int` or `float`, in `[low, high]` and greater than `above`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise missing(where)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f"results: {where} must be a plain number, not {type(value).__name__}; use float() or int()")
    if math.isinf(value) or not low <= value <= high:
        raise UsageError(f"results: {where} is {value}, which is outside {low:g} to {high:g}")
    if above is not None and not value > above:
        raise ProfileError(f"results: {where} is {value}, which no measurement gives; measure it again")


def count(where: str, value: Any, *, above: int | None = None) -> None:
    """A whole number, 0 or more."""
    number(where, value, above=above)
    if not isinstance(value, int):
        raise UsageError(f"results: {where} must be a whole number, not {value}")


def fraction(where: str, value: Any) -> None:
    """A share from 0 to 1. Percent are refused rather than guessed."""
    number(where, value)
    if value > 1.0:
        raise UsageError(f"results: {where} is {value}, outside 0 to 1; give a fraction, not percent")


def items(where: str, value: Any) -> Sequence[Any]:
    """Return `value` if it is a list or a tuple."""
    if value is None:
        raise missing(where)
    if not isinstance(value, (list, tuple)):
        raise UsageError(f"results: {where} must be a list, not {type(value).__name__}")
    return value


def latency(where: str, value: Any) -> None:
    """Milliseconds per thread count and stage: `{"2": {"pre": …, "infer": …, "post": …}}`.

    `pre` and `post` may be 0 where the artifact needs no such step; inference always takes time.
    """
    if not isinstance(value, Mapping) or not value:
        raise missing(where)
    for threads, stages in value.items():
        if not (isinstance(threads, str) and threads.isdigit() and int(threads) > 0):
            raise UsageError(f'results: {where} has the key {threads!r}; keys are thread counts as text, such as "2"')
        keys(_join(where, threads), stages, required=STAGES)
        for stage, milliseconds in stages.items():
            above = 0.0 if stage == "infer" else None
            number(f"{where}.{threads}.{stage}", milliseconds, above=above)


def p95(where: str, value: Any, medians: Mapping[str, Any]) -> None:
    """95th percentiles in the shape of `medians`: the same thread counts, the same stages."""
    latency(where, value)
    keys(where, value, required=list(medians))


def ious(where: str, value: Any, classes: int) -> None:
    """One IoU per class. None means that the class occurs neither in the truth nor in the prediction."""
    if len(items(where, value)) != classes:
        raise UsageError(f"results: {where} has {len(value)} values for {classes} classes; give one per class")
    for index, iou in enumerate(value):
        if iou is not None:
            fraction(f"{where}.{index}", iou)


def curve(where: str, rows: Any) -> None:
    """One training phase: rows of `step, loss, lr` and now and then `miou`, steps rising."""
    last = -1
    for index, row in enumerate(items(where, rows)):
        here = f"{where}.{index}"
        keys(here, row, required=("step", "loss", "lr"), optional=("miou",))
        count(f"{here}.step", row["step"])
        number(f"{here}.loss", row["loss"], low=-math.inf)
        number(f"{here}.lr", row["lr"])
        if row.get("miou") is not None:
            fraction(f"{here}.miou", row["miou"])
        if row["step"] <= last:
            raise UsageError(f"results: {here}.step is {row['step']} after {last}; give rows by rising steps")
        last = row["step"]


def each(where: str, values: Mapping[str, Any], rule: Any) -> None:
    """Apply `rule(where, value)` to every value of a mapping."""
    for key, value in values.items():
        rule(_join(where, key), value)


def palette(where: str, rows: Iterable[Any], classes: int) -> None:
    """One RGB row of bytes per class."""
    listed = list(rows)
    if len(listed) != classes:
        raise UsageError(f"results: {where} has {len(listed)} colours for {classes} classes; give one per class")
    for index, row in enumerate(listed):
        if len(row) != 3 or not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in row):
            raise UsageError(f"results: {where}.{index} is {tuple(row)}; a colour is three bytes, red, green, blue")


def missing(where: str) -> ProfileError:
    """Return the error for a value that is not there."""
    return ProfileError(f"results: {where!r} is missing; measure it and write it, it is never replaced by a 0")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
