"""The machine's limits: measured for real once, and what is made of them."""

import json

import numpy as np
import pytest

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.profiling.operations import peak_models, peaks
from mobile_seg.profiling.operations.peaks import Peaks, measure_peaks
from mobile_seg.verify.tflite_runner import load_interpreter

MADE = Peaks(
    "a CPU",
    "ai-edge-litert 2.3.0",
    1,
    (("int8", "1x1", 50.0), ("float32", "3x3", 25.0)),
    ((1 << 10, 80.0), (1 << 20, 100.0), (1 << 25, 10.0)),
)


def test_a_measurement_is_whole() -> None:
    found = measure_peaks(threads=1, runs=1)
    assert [kind for kind, _, _ in found.gmacs] == ["int8", "float32"]
    assert [size for size, _ in found.bandwidth] == list(peak_models.STREAMS)
    assert min(rate for _, _, rate in found.gmacs) > 0
    assert min(rate for _, rate in found.bandwidth) > 0
    assert found.runtime.startswith("ai-edge-litert 2.")
    assert found.cpu
    assert Peaks.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_best_convolution_of_each_type_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {
        "int8": [["small", 30.0], ["large", 50.0], ["wide", 40.0]],
        "float32": [["small", 20.0], ["large", 10.0]],
        "bandwidth": [[1024, 80.0], [4096, 60.0]],
        "runtime": "ai-edge-litert 2.3.0",
    }
    monkeypatch.setattr(peaks, "ask", lambda request, **how: answer)
    found = measure_peaks(threads=2)
    assert found.gmacs == (("int8", "large", 50.0), ("float32", "small", 20.0))
    assert (found.threads, found.bandwidth) == (2, ((1024, 80.0), (4096, 60.0)))


def test_bandwidth_is_that_of_the_faster_neighbour() -> None:
    assert MADE.bandwidth_at(16) == 80.0
    assert MADE.bandwidth_at(1 << 10) == 80.0
    assert MADE.bandwidth_at(5000) == 100.0
    assert MADE.bandwidth_at(1 << 20) == 100.0
    assert MADE.bandwidth_at((1 << 20) + 1) == 100.0
    assert MADE.bandwidth_at(1 << 30) == 10.0


def test_a_peak_that_was_not_measured_is_no_zero() -> None:
    assert MADE.rate("float32") == 25.0
    with pytest.raises(ProfileError, match="no peak was measured for int4, only for int8, float32"):
        MADE.rate("int4")


def test_calls_that_are_wrong() -> None:
    for wrong in ({"threads": 0}, {"runs": 0}):
        with pytest.raises(UsageError, match="give 1 or more"):
            measure_peaks(**wrong)


def test_the_models_compute_what_they_say() -> None:
    """The float convolution against NumPy, the additions as powers of two, and both types of one graph."""
    interpreter = load_interpreter(peak_models.additions(8, 3), name="additions")
    given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    numbers = np.arange(8, dtype=np.float32)[None]
    interpreter.set_tensor(given["index"], numbers)
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(taken["index"]), 8 * numbers)
    for arithmetic, dtype, made in (("int8", np.int8, 8), ("float32", np.float32, 8), ("int8", np.int8, 3)):
        content = peak_models.convolution(1, 4, 8, made=made, arithmetic=arithmetic)
        interpreter = load_interpreter(content, name=arithmetic)
        given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        assert given["dtype"] is dtype
        pixels = np.random.default_rng(1).integers(-100, 100, (1, 4, 4, 8))
        real = (pixels / 64).astype(np.float32)
        interpreter.set_tensor(given["index"], pixels.astype(np.int8) if dtype is np.int8 else real)
        interpreter.invoke()
        output = interpreter.get_tensor(taken["index"]).astype(np.float64)
        weights = interpreter.get_tensor(1).astype(np.float64).reshape(made, 8)
        if dtype is np.int8:
            # One step of the output's grid for its rounding, as the kernel rounds once more inside.
            expected = np.maximum(real @ (weights / (64 * np.sqrt(8))).T, 0) * 32
            np.testing.assert_allclose(output, np.minimum(np.round(expected), 127), atol=1)
            assert len(np.unique(output)) > 10
        else:
            np.testing.assert_allclose(output, np.maximum(real @ weights.T, 0), atol=1e-5)
