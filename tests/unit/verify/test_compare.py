"""Differences between two models whose outputs are known."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.verify import tiny

from mobile_seg.errors import ParityError, UsageError
from mobile_seg.imaging import resize_logits
from mobile_seg.manifest import OutputSpec
from mobile_seg.verify.compare import compare, compare_all
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.runners import Runner, open_artifact


class Given(Runner):
    """A runner whose raw output is a function of the input tensor's first value."""

    def __init__(
        self,
        output: Callable[[int], np.ndarray],
        *,
        kind: str = "logits",
        quantization: tuple[float, int] | None = None,
    ) -> None:
        sample = output(0)
        spec = OutputSpec(kind, sample.shape[0], sample.shape[1], sample.dtype.name)
        super().__init__(path=None, manifest=tiny.manifest(output=spec), kind="given")
        self.quantization = quantization
        self._output = output

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        return self._output(int(tensor.flat[0]))


def image(value: int = 0) -> np.ndarray:
    return np.full((tiny.HEIGHT, tiny.WIDTH, 3), value, np.uint8)


def ramp(value: int = 0) -> np.ndarray:
    """Return logits `[2, 2, 4]` from 0 to 10, class 3 the largest everywhere."""
    del value
    logits = np.zeros((2, 2, 4), np.float32)
    logits[..., 1], logits[..., 3] = 4.0, 10.0
    return logits


def test_worked_out_by_hand() -> None:
    def shifted(value: int) -> np.ndarray:
        logits = ramp()
        if value == 1:
            logits[0, 0, 1] += 7.0  # one pixel of eight flips, one logit of 32 moves
        return logits

    found = compare(Given(ramp), Given(shifted), [image(0), image(1)])
    assert (found.argmax, found.pixels, found.max_abs) == (7 / 8, 8, 7.0)
    assert found.psnr_db == pytest.approx(10 * math.log10(10**2 / (49 / 32)))
    assert (found.within_2_steps, found.max_steps) == (None, None)
    assert (found.reference_classes, found.candidate_classes) == (1, 2)


def test_steps_are_the_candidates() -> None:
    def quantized(value: int) -> np.ndarray:
        integers = np.round(ramp(value) / 0.5).astype(np.int8) + np.int8(-7)
        integers[0, 0, 0] += 2  # counts as rounding
        integers[1, 1, 2] += 3  # does not
        return integers

    found = compare(Given(ramp), Given(quantized, quantization=(0.5, -7)), [image()])
    assert (found.within_2_steps, found.max_steps, found.max_abs) == (15 / 16, 3.0, 1.5)


def test_equal_outputs_have_no_noise() -> None:
    found = compare(Given(ramp), Given(ramp), [image()])
    assert (found.argmax, found.psnr_db, found.max_abs) == (1.0, math.inf, 0.0)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["psnr_db"] is None


def test_labels_are_compared_at_their_size_after_resizing_the_logits() -> None:
    rng = np.random.default_rng(0)
    low = rng.normal(size=(4, 6, 4)).astype(np.float32)
    labels = resize_logits(low, (tiny.HEIGHT, tiny.WIDTH)).argmax(-1).astype(np.int32)
    labels[0, :5] = (labels[0, :5] + 1) % 4
    found = compare(Given(lambda _: low), Given(lambda _: labels, kind="labels"), [image()])
    assert found.argmax == pytest.approx(1 - 5 / labels.size)
    assert (found.pixels, found.psnr_db, found.max_abs, found.within_2_steps) == (labels.size, None, None, None)


def test_full_size_logits_against_the_resized_reference() -> None:
    low = np.random.default_rng(0).normal(size=(4, 6, 4)).astype(np.float32)
    full = resize_logits(low, (tiny.HEIGHT, tiny.WIDTH)) + np.float32(0.25)
    found = compare(Given(lambda _: low), Given(lambda _: full, kind="logits-full"), [image()])
    assert found.argmax == 1.0
    assert found.max_abs == pytest.approx(0.25, abs=1e-6)


class Counting(Given):
    """Counts how often it runs."""

    runs = 0

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        self.runs += 1
        return super().infer(tensor)


def test_several_candidates_against_one_run_of_the_reference() -> None:
    reference, same = Counting(ramp), Given(ramp)
    higher = Given(lambda value: ramp(value) + np.float32(0.5))
    full = resize_logits(ramp(), (tiny.HEIGHT, tiny.WIDTH))
    labels = Given(lambda _: full.argmax(-1).astype(np.int32), kind="labels")
    seen: list[int] = []
    found = compare_all(reference, [same, higher, labels], (image(n) for n in range(3)), progress=seen.append)
    assert reference.runs == 3
    assert seen == [1, 2, 3]
    assert [one.max_abs for one in found] == [0.0, 0.5, None]
    assert [one.pixels for one in found] == [12, 12, 3 * tiny.HEIGHT * tiny.WIDTH]
    assert found == [compare(reference, one, [image(n) for n in range(3)]) for one in (same, higher, labels)]


def test_no_candidate_is_compared_if_one_of_them_cannot_be() -> None:
    reference, other = Counting(ramp), Given(ramp)
    other.manifest = replace(other.manifest, input=replace(other.manifest.input, height=32))
    with pytest.raises(UsageError, match="input size"):
        compare_all(reference, [Given(ramp), other], [image()])
    assert reference.runs == 0


def test_masks_that_are_moved_are_told_in_input_pixels() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(6, 6, 4)).astype(np.float32)
    # 48x72 logits of a 16x24 image: three pixels of the output are one of the input.
    whole = resize_logits(coarse, (60, 84))
    one, other = whole[6:54, 6:78], whole[3:51, 12:84]
    found = compare(Given(lambda _: one), Given(lambda _: other), [image()])
    # As far as a paraboloid through whole pixels tells, a tenth of one of the output.
    assert found.mask_shift_px == pytest.approx((1.0, -2.0), abs=0.1 / 3)
    assert found.mask_distance_px == pytest.approx(math.sqrt(5), abs=0.1)
    assert json.loads(json.dumps(found.to_dict()))["mask_shift_px"] == pytest.approx((1.0, -2.0), abs=0.1)
    # Nothing to see, nothing to tell.
    assert compare(Given(ramp), Given(ramp), [image()]).mask_distance_px is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_no_numbers_do_not_pass(value: float) -> None:
    broken = ramp()
    broken[0, 0, 0] = value
    with pytest.raises(ParityError, match="the candidate gives logits that are NaN or infinite"):
        compare(Given(ramp), Given(lambda _: broken), [image()])
    with pytest.raises(ParityError, match="the reference"):
        compare(Given(lambda _: broken), Given(ramp), [image()])


def test_two_models_that_cannot_be_compared() -> None:
    reference, other = Given(ramp), Given(ramp)
    other.manifest = replace(other.manifest, input=replace(other.manifest.input, height=32))
    with pytest.raises(UsageError, match=r"input size \(\(16, 24\) and \(32, 24\)\)"):
        compare(reference, other, [image()])
    other.manifest = replace(reference.manifest, classes=("a",), palette=((0, 0, 0),))
    with pytest.raises(UsageError, match=r"number of classes \(4 and 1\)"):
        compare(reference, other, [image()])
    with pytest.raises(UsageError, match="no image"):
        compare(reference, reference, [])


def test_real_files_of_one_model(tmp_path: Path) -> None:
    """Float is the same function; int8 strays by a few steps and flips few pixels."""
    reference = KerasRunner(tiny.keras_model(), manifest=tiny.manifest())
    pictures = tiny.images(6, (50, 41))  # another size than the input's
    seen: list[int] = []
    float32 = compare(reference, open_artifact(tiny.save(tmp_path)), pictures, progress=seen.append)
    int8 = compare(reference, open_artifact(tiny.save(tmp_path, tiny.INT8)), pictures)
    assert (float32.argmax, seen, float32.pixels) == (1.0, [1, 2, 3, 4, 5, 6], 6 * 24)
    assert float32.max_abs is not None
    assert float32.max_abs < 1e-4
    assert float32.mask_distance_px is not None
    assert float32.mask_distance_px < 1e-2
    assert float32.psnr_db is not None
    assert int8.psnr_db is not None
    assert float32.psnr_db > 100 > int8.psnr_db > 30
    assert int8.argmax > 0.95
    assert int8.within_2_steps is not None
    assert int8.max_steps is not None
    assert int8.within_2_steps > 0.9
    assert 0.1 < int8.max_steps < 6
