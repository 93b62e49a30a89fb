"""How far one model's output lies from another's, over real images."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_seg.errors import ParityError, UsageError
from mobile_seg.imaging import Image, resize_image, resize_labels, resize_logits
from mobile_seg.verify.runners import Runner
from mobile_seg.verify.shift import MaskShift

SMALL_STEPS = 2.0
"""Differences up to here count as rounding: one step in each of the two outputs that are compared."""

_FLOAT_NOISE = 1e-3  # in steps: dequantizing in float32 does not land exactly on the grid


@dataclass(frozen=True)
class Agreement:
    """A candidate against its reference.

    `argmax` is the share of pixels with the same class. `psnr_db` is `10 log10(p² / mse)` over all
    logits, p the reference's peak-to-peak (`inf` if nothing differs); `max_abs` the largest difference
    of a logit. `within_2_steps` (share of logits) and `max_steps` measure the same differences in steps
    of the candidate's output scale, of which 256 count as one if it has 16 bits. All but `argmax` are
    None where one side gives class ids instead of logits; the steps also where the candidate's output is
    not quantized. `pixels` counts compared label pixels; `reference_classes` and `candidate_classes` the
    distinct classes that each predicted.

    `mask_shift_px` is (dy, dx) in input pixels: what the reference shows at (y, x), the candidate shows at
    (y + dy, x + dx); None where that cannot be told (see `shift.MaskShift`).
    """

    argmax: float
    psnr_db: float | None
    max_abs: float | None
    within_2_steps: float | None
    max_steps: float | None
    pixels: int
    reference_classes: int | None = None
    candidate_classes: int | None = None
    mask_shift_px: tuple[float, float] | None = None

    @property
    def mask_distance_px(self) -> float | None:
        """The length of `mask_shift_px`, in input pixels."""
        return None if self.mask_shift_px is None else math.hypot(*self.mask_shift_px)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, which knows no infinity: then `psnr_db` is null and `max_abs` 0."""
        psnr = self.psnr_db if self.psnr_db is None or math.isfinite(self.psnr_db) else None
        return dataclasses.asdict(self) | {"psnr_db": psnr}


def compare(
    reference: Runner, candidate: Runner, images: Iterable[Image], *, progress: Callable[[int], None] | None = None
) -> Agreement:
    """Run both on every image `[H, W, 3]` uint8 (any size) and measure how they differ; see `compare_all`."""
    return compare_all(reference, [candidate], images, progress=progress)[0]


def compare_all(
    reference: Runner,
    candidates: Sequence[Runner],
    images: Iterable[Image],
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Agreement]:
    """Run all on every image `[H, W, 3]` uint8 (any size), and measure how each candidate differs from the reference.

    The reference runs once per image, whatever the number of candidates. Compared at the outputs' own
    resolution; if one of two answers at a larger size than the other (`logits-full` or `labels`), the smaller
    logits are first resized to it bilinearly, or, beside `labels-nearest`, their class ids are. `progress` is
    called with the number of images done.

    Raises:
        UsageError: if a candidate takes another input size or number of classes, or there is no image.
        ParityError: for logits that are NaN or infinite.
    """
    for candidate in candidates:
        _check_comparable(reference, candidate)
    sums = [Sums(reference, candidate) for candidate in candidates]
    done = 0
    for image in images:
        pixels = resize_image(image, reference.input_size)
        expected = reference.run(pixels)
        for candidate, its in zip(candidates, sums, strict=True):
            its.add(expected, candidate.run(pixels))
        done += 1
        if progress is not None:
            progress(done)
    if done == 0:
        raise UsageError("no image to compare on; check the split of the dataset YAML")
    return [its.agreement() for its in sums]


def _step(candidate: Runner) -> float | None:
    """A step of 8 bits over the output's range: what is finer than the rounding inside says little."""
    if candidate.quantization is None:
        return None
    return candidate.quantization[0] * (256 if candidate.manifest.output.dtype == "int16" else 1)


def _check_comparable(reference: Runner, candidate: Runner) -> None:
    for what, one, other in (
        ("input size", reference.input_size, candidate.input_size),
        ("number of classes", len(reference.manifest.classes), len(candidate.manifest.classes)),
    ):
        if one != other:
            raise UsageError(
                f"{reference.name} and {candidate.name} differ in {what} ({one} and {other}); "
                "compare an artifact with the model it was made from"
            )


def at_size(output: np.ndarray, size: tuple[int, int], *, nearest: bool) -> np.ndarray:
    """Bring logits to `size` (height, width): bilinearly, or, if `nearest`, as class ids of the nearest pixel.

    Raises:
        UsageError: for class ids of another size.
    """
    if output.shape[:2] == size:
        return output
    if output.ndim != 3:
        raise UsageError(f"class ids {list(output.shape)} cannot be compared at {list(size)}; export logits instead")
    return resize_labels(output.argmax(-1).astype(np.uint8), size) if nearest else resize_logits(output, size)


class Sums:
    """What is carried from image to image, of one candidate against its reference.

    `size` is the (height, width) at which they are compared; without `shift` the displacement is left out.
    """

    def __init__(self, reference: Runner, candidate: Runner, *, shift: bool = True) -> None:
        specs = [runner.manifest.output for runner in (reference, candidate)]
        self.size: tuple[int, int] = max((spec.height, spec.width) for spec in specs)
        self.nearest = any(spec.kind == "labels-nearest" for spec in specs)
        self._step = _step(candidate)
        self._shift = MaskShift(input_size=reference.input_size) if shift else None
        self._pixels = self._equal = 0
        self._values = self._small = 0
        self._squares = self._max = 0.0
        self._low, self._high = math.inf, -math.inf
        self._reference_ids: set[int] = set()
        self._candidate_ids: set[int] = set()

    def add(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        """Take one image's outputs, `[h, w, C]` float32 logits or `[h, w]` class ids each."""
        reference, candidate = (at_size(one, self.size, nearest=self.nearest) for one in (reference, candidate))
        one, other = (output.argmax(-1) if output.ndim == 3 else output for output in (reference, candidate))
        self._pixels += one.size
        self._equal += int(np.count_nonzero(one == other))
        self._reference_ids.update(np.unique(one).tolist())
        self._candidate_ids.update(np.unique(other).tolist())
        if reference.ndim == 3 and candidate.ndim == 3:
            self._add_logits(reference, candidate)
        if self._shift is not None:
            self._shift.add(reference, candidate)

    def _add_logits(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        for name, logits in (("reference", reference), ("candidate", candidate)):
            if not np.isfinite(logits).all():
                raise ParityError(
                    f"the {name} gives logits that are NaN or infinite; look for them in training, or for a "
                    "float16 overflow"
                )
        difference = np.abs(candidate - reference)
        self._values += difference.size
        self._squares += float(np.square(difference, dtype=np.float64).sum())
        self._max = max(self._max, float(difference.max()))
        self._low = min(self._low, float(reference.min()))
        self._high = max(self._high, float(reference.max()))
        if self._step is not None:
            self._small += int(np.count_nonzero(difference <= self._step * (SMALL_STEPS + _FLOAT_NOISE)))

    def agreement(self) -> Agreement:
        """Reduce to the record."""
        logits = self._values > 0
        steps = logits and self._step is not None
        return Agreement(
            argmax=self._equal / self._pixels,
            psnr_db=self._psnr() if logits else None,
            max_abs=self._max if logits else None,
            within_2_steps=self._small / self._values if steps else None,
            max_steps=self._max / self._step if steps and self._step is not None else None,
            pixels=self._pixels,
            reference_classes=len(self._reference_ids),
            candidate_classes=len(self._candidate_ids),
            mask_shift_px=self._shift.displacement() if self._shift is not None else None,
        )

    def _psnr(self) -> float:
        mean_square = self._squares / self._values
        if mean_square == 0.0:
            return math.inf
        peak = self._high - self._low
        return 10.0 * math.log10(peak * peak / mean_square) if peak > 0.0 else -math.inf
