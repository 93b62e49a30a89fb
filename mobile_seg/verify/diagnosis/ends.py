"""Mistakes at a file's two ends: how it reads the image, and how its output is read."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from mobile_seg.imaging import resize_labels, resize_logits
from mobile_seg.verify.diagnosis.case import Case, Trial

Change = Callable[[np.ndarray], np.ndarray]


def channels_swapped(case: Case) -> Iterator[Trial]:
    """The file reads red as blue and blue as red: OpenCV's images are BGR, the camera's and the network's RGB."""
    yield from _seen(case, lambda image: image[..., ::-1], "the file reads BGR: swap the channels back before it")


def normalization_missing(case: Case) -> Iterator[Trial]:
    """The file's network gets bytes 0..255 where it was trained on (byte - mean) / std."""
    spec = case.reference.manifest.input
    yield from _seen(
        case,
        lambda image: image * spec.std + spec.mean,
        f"the network gets raw bytes: put (byte - {spec.mean:g}) / {spec.std:g} into the file, or before it with "
        "normalized_outside in the manifest",
    )


def normalization_twice(case: Case) -> Iterator[Trial]:
    """The image is normalized before the file, and inside it once more."""
    spec = case.reference.manifest.input
    yield from _seen(
        case,
        lambda image: (image - spec.mean) / spec.std,
        "the image is normalized twice: the file normalizes by itself, so hand it bytes (normalized_outside false)",
    )


def layout_mixed_up(case: Case) -> Iterator[Trial]:
    """A buffer laid out [H, W, C] is read as [C, H, W], or the other way round, of the image or of the logits."""
    for what, change in (("channels first", _read_as_nchw), ("channels last", _read_as_nhwc)):
        end = f"reads its image as if it lay {what}: transpose it at the file's input, or say so in the manifest"
        yield from _seen(case, change, f"the file {end}")
        if case.expected[0].ndim == 3:
            end = f"writes its logits as if they were read {what}: transpose them at the file's output"
            yield Trial([change(logits) for logits in case.expected], case.given, f"the file {end}")


def zero_point_wrong(case: Case) -> Iterator[Trial]:
    """Integers are read with another zero point than they were written with: all bytes, or logits, are off alike."""
    wrapped = "the image's bytes are read with the wrong sign: flip their highest bit, as int8 inputs need it"
    yield from _seen(case, lambda image: (image + 128.0) % 256.0, wrapped)
    offset = _best_offset(case)
    if offset:
        said = f"the input's zero point (the mean, in floats) is {-offset:+g} off"
        fix = f"{said}: a byte must stand for (byte - mean) / std"
        yield from _seen(case, lambda image: image + np.float32(offset), fix)
    if case.logits:
        difference = np.median(
            np.concatenate([(b - a).ravel() for a, b in zip(case.expected, case.given, strict=True)])
        )
        steps = (
            "" if case.candidate.quantization is None else f", {difference / case.candidate.quantization[0]:+.1f} steps"
        )
        yield Trial(
            [logits + np.float32(difference) for logits in case.expected],
            case.given,
            f"the output's zero point is off: all logits are {difference:+.4g} away{steps}; read it from the file",
        )


def argmax_over_wrong_axis(case: Case) -> Iterator[Trial]:
    """The class is the largest along the channels; along rows or columns it is a position."""
    if case.given[0].ndim != 2 or case.raw[0].ndim != 3:
        return
    nearest = case.candidate.manifest.output.kind == "labels-nearest"
    for axis, name in ((0, "rows"), (1, "columns")):
        logits = case.raw if nearest else [resize_logits(one, case.size) for one in case.raw]
        ids = [one.argmax(axis) for one in logits]
        if nearest:
            ids = [resize_labels(one.astype(np.uint8), case.size) for one in ids]
        if ids[0].shape == case.given[0].shape:
            yield Trial(ids, case.given, f"argmax runs over the {name}: let it run over the channels, axis=-1 in NHWC")


def labels_off_by_one(case: Case) -> Iterator[Trial]:
    """Class ids count from one where they should from zero, or a background class was put in front or dropped."""
    classes = len(case.reference.manifest.classes)
    for by in (1, -1):
        moved = [
            np.roll(output, by, axis=-1) if output.ndim == 3 else (output.astype(np.int64) + by) % classes
            for output in case.expected
        ]
        # Ids of C, or of -1 as a byte, are the neighbours of what they wrap to.
        given = [one if one.ndim == 3 else _wrapped(one, classes) for one in case.given]
        fix = f"class ids are {by:+d} off: drop or add the background class so that ids count the manifest's classes"
        yield Trial(moved, given, fix)


def _wrapped(ids: np.ndarray, classes: int) -> np.ndarray:
    wide = ids.astype(np.int64)
    return np.where(wide == 255, -1, wide) % classes if classes < 255 else wide % classes


def _seen(case: Case, change: Change, fix: str) -> Iterator[Trial]:
    """The file sees a changed image."""
    outputs = case.reference_on(change)
    if outputs is not None:
        yield Trial(case.resized(outputs), case.given, fix)


def _read_as_nchw(values: np.ndarray) -> np.ndarray:
    height, width, channels = values.shape
    return np.ascontiguousarray(values.reshape(channels, height, width).transpose(1, 2, 0))


def _read_as_nhwc(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.transpose(2, 0, 1)).reshape(values.shape)


COARSE = (0.0, *(sign * 2.0**power for power in range(1, 8) for sign in (1, -1)))


def _best_offset(case: Case) -> float:
    """The number of bytes by which all of the first image could be off; 0 if none is better than none.

    Powers of two first, then halves of the step around the best, down to half a byte: how far outputs lie apart
    grows steadily with the offset, from where it is right.
    """
    known: dict[float, float] = {}

    def try_all(offsets: Iterable[float]) -> float:
        for offset in offsets:
            if offset not in known:
                known[offset] = _distance_at(case, offset)
        return min(known, key=lambda one: known[one])

    best = try_all(COARSE)
    step = max(abs(best) / 2.0, 1.0)
    while step >= 0.5:
        best = try_all((best - step, best + step))
        step /= 2.0
    return best


def _distance_at(case: Case, offset: float) -> float:
    """How far the first image's outputs lie apart: mean squared over the logits' variance, or the share of pixels."""
    outputs = case.reference_on(lambda image: image + np.float32(offset), count=1)
    if outputs is None:
        return math.inf
    one, other = case.resized(outputs)[0], case.given[0]
    if case.logits:
        return float(np.square(one - other, dtype=np.float64).mean() / max(float(np.var(one)), 1e-12))
    one, other = (output.argmax(-1) if output.ndim == 3 else output for output in (one, other))
    return float(np.mean(one != other))
