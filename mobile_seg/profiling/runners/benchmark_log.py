"""What the official `benchmark_model` says, read line by line.

Two tools go by that name: TensorFlow Lite's (tflite/tools/benchmark/benchmark_model.cc, whose "INFO:" came with
TensorFlow 2.9 and whose median and percentiles came later), and LiteRT's own (litert/tools/benchmark_litert_model.h).
Their log may come by way of logcat, with a date, process and tag before each line.
"""

import re
from dataclasses import dataclass

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.measurement import DelegateUse

NAMES = {"xnnpack": "XNNPACK", "gpu": "GPU", "nnapi": "NNAPI", "hexagon": "Hexagon", "edgetpu": "EXTERNAL"}
"""Our names of delegates → the tool's."""

KINDS = {"TfLiteXNNPackDelegate": "xnnpack", "TfLiteGpuDelegateV2": "gpu", "TfLiteNnapiDelegate": "nnapi"}
"""The runtime's names of delegate nodes → ours."""

_NUMBER = r"([-+.\d]+(?:e[+-]?\d+)?)"
_BEFORE = re.compile(
    r"^\s*(?:\d\d-\d\d [\d:.]+ +\d+ +\d+ [VDIWEF] [\w ]+?: )?(?:(?:INFO|WARNING|ERROR|VERBOSE): )?(?:\[\S+\] )?"
)
_STATISTIC = re.compile(rf"\b(\w+)={_NUMBER}")
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, Warmup \(avg\): {_NUMBER}, "
    rf"Inference \(avg\): {_NUMBER}"
)
_MEMORY = re.compile(rf"[Mm]emory footprint.*\(MB\): init={_NUMBER} overall={_NUMBER}")
_APPLIED = re.compile(
    r"Explicitly applied (\w+) delegate, and the model graph will be "
    r"(?:(completely) executed by the delegate|partially executed by the delegate w/ (\d+) delegate kernels)"
)
_REFUSED = re.compile(r"Though (\w+) delegate is explicitly applied, the model graph will not be")
_REPLACED = re.compile(
    r"Replacing (\d+)(?: out of (\d+))? node\(s\) with delegate \((\w+)\) node, yielding (\d+) partitions"
)
_TROUBLE = re.compile(
    r"Failed to apply .*|Benchmarking failed.*|Failed to load model.*|Unconsumed cmdline flags.*|.*[Cc]ould not open .*"
)
_LITERT = {
    "init_us": re.compile(rf"Model initialization: {_NUMBER} ms"),
    "first_us": re.compile(rf"Warmup \(first\): +{_NUMBER} ms"),
    "mean_us": re.compile(rf"Inference \(avg\): +{_NUMBER} ms \((\d+) runs\)"),
}
_LITERT_MEMORY = re.compile(rf"Overall footprint: +{_NUMBER} MB")
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class BenchmarkLog:
    """What one process of the tool measured. Newer tools tell median and 95th percentile, older ones only the mean."""

    init_ms: float
    first_run_ms: float
    mean_ms: float
    median_ms: float | None
    p95_ms: float | None
    runs: int
    peak_memory_bytes: int
    delegate: DelegateUse


def parse_log(text: str, *, asked: str) -> BenchmarkLog:
    """Read the tool's output, of a run that was to use the delegate `asked`.

    Its memory is the growth of the largest resident set (`getrusage`), in multiples of 2^20 bytes.

    Raises:
        ProfileError: if the tool failed, with its own reason, or did not tell a number that is needed.
    """
    lines = _lines(text)
    numbers = _tflite_numbers(lines) or _litert_numbers(lines)
    if numbers is None:
        raise ProfileError(f"benchmark_model measured nothing: {_reason(lines)}")
    memory = _memory(lines)
    if memory is None:
        raise ProfileError("benchmark_model does not tell its memory on this system; choose another runner")
    return BenchmarkLog(
        init_ms=numbers["init_us"] / 1e3,
        first_run_ms=numbers["first_us"] / 1e3,
        mean_ms=numbers["mean_us"] / 1e3,
        median_ms=numbers["median"] / 1e3 if "median" in numbers else None,
        p95_ms=numbers["p95"] / 1e3 if "p95" in numbers else None,
        runs=int(numbers["count"]),
        peak_memory_bytes=round(memory * _MEGABYTE),
        delegate=read_delegate(text, asked=asked),
    )


def _tflite_numbers(lines: list[str]) -> dict[str, float] | None:
    timings = next((match for line in lines if (match := _TIMINGS.search(line))), None)
    # The first of these lines is of the warm-up.
    statistics = [dict(_STATISTIC.findall(line)) for line in lines if line.startswith("count=")]
    if timings is None or len(statistics) < 2:
        return None
    init, first, _, mean = (float(number) for number in timings.groups())
    told = {name: float(number) for name, number in statistics[-1].items()}
    return {"init_us": init, "first_us": first, "mean_us": mean, **told}


def _litert_numbers(lines: list[str]) -> dict[str, float] | None:
    found = {name: next((m for line in lines if (m := shape.search(line))), None) for name, shape in _LITERT.items()}
    if any(match is None for match in found.values()):
        return None
    numbers = {name: float(match[1]) * 1e3 for name, match in found.items() if match}
    mean = found["mean_us"]
    assert mean is not None
    return {**numbers, "count": float(mean[2])}


def _memory(lines: list[str]) -> float | None:
    for line in lines:
        if match := _MEMORY.search(line):
            return float(match[2])
        if match := _LITERT_MEMORY.search(line):
            return float(match[1])
    return None


def read_delegate(text: str, *, asked: str) -> DelegateUse:
    """Read what became of the delegate `asked`; one that the log does not mention took nothing."""
    lines = _lines(text)
    if asked == "none":
        return DelegateUse(asked, "none")
    replaced = [match for line in lines if (match := _REPLACED.search(line)) and KINDS.get(match[3]) == asked]
    totals = [match for match in replaced if match[2]]  # older runtimes do not tell the total
    left = sum(int(match[2]) - int(match[1]) for match in totals) if replaced and totals == replaced else None
    for line in lines:
        if (match := _REFUSED.search(line)) and match[1] == NAMES[asked]:
            return DelegateUse(asked, "none", said=line)
        if (match := _APPLIED.search(line)) and match[1] == NAMES[asked]:
            return DelegateUse(asked, "all" if match[2] else "part", int(match[3] or 1), left, line)
    if replaced:
        partitions = sum(int(match[4]) for match in replaced)
        return DelegateUse(asked, "all" if left == 0 else "part", partitions, left, replaced[0][0])
    told = next((line for line in lines if NAMES[asked] in line and "unsupported" in line), "")
    return DelegateUse(asked, "none", said=told or "the tool's log names no such delegate")


def _lines(text: str) -> list[str]:
    return [_BEFORE.sub("", line).strip() for line in text.splitlines()]


def _reason(lines: list[str]) -> str:
    """The tool's own complaint, else the last line."""
    found = next((line for line in lines if _TROUBLE.fullmatch(line)), None)
    return found or next((line for line in reversed(lines) if line), "it said nothing")
