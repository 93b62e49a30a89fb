"""Reads what the official `benchmark_model --enable_op_profiling` prints, as text or as CSV.

The tool lists operations as a table, `[node type] [start] [first] [avg ms] … [times called] [Name]`, or with
`--op_profiling_output_mode=csv` as `node type, start, first, avg_ms, …`; versions from 2021 on leave out `start`.
Rows inside a delegate are named `Delegate/<kernel>:<number in its partition>`, others `[tensor]:<operation's number>`.
Source: tensorflow/lite/profiling/profile_summarizer.cc and tensorflow/core/util/stats_calculator.cc.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mobile_seg.artifact import sha256
from mobile_seg.errors import ProfileError
from mobile_seg.profiling.delegates.graph import Graph
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.operations.layers import place
from mobile_seg.profiling.operations.records import OperationProfile, OperationTime, TimedKernel
from mobile_seg.profiling.operations.tracing import trace, untraced

REGULAR = "Operator-wise Profiling Info for Regular Benchmark Runs"
RUN_ORDER = "Run Order"
DELEGATE = "Delegate/"

_TITLE = re.compile(r"=+ (.+?) =+")
_NAME = re.compile(r"(?P<name>.*?):(?P<number>\d+)$")
_LOG = re.compile(r"^(?:\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +\d+ +\d+ [A-Z] [^:]*: ?|INFO: |\s)+")
_RUNS = re.compile(r"count=(\d+)(?:.*?\bavg=([\d.e+]+))?")
_COUNT = re.compile(r"Timings \(microseconds\): " + _RUNS.pattern)
_FIGURES = re.compile(
    r"(?P<kind>.+?)\s+(?:[\d.]+\s+)?[\d.]+\s+(?P<average>[\d.]+)\s+[\d.]+%\s+[\d.]+%\s+[\d.]+\s+(?P<calls>\d+)\s+(?P<name>.+)"
)


@dataclass(frozen=True)
class _Row:
    kind: str
    average_ms: float
    calls: int
    name: str


def parse_op_profile(
    text: str, *, model: str | os.PathLike[str] | None = None, device: str = "", threads: int | None = None
) -> OperationProfile:
    """Read the tool's output, logcat prefixes included; `model` is the file it ran, through which layers are named.

    The tool tells averages, not medians. Without `model` an operation of the runtime is named by its tensor, and a
    kernel in a delegate by itself. Two kernels of one name and number in two partitions are one row to the tool; their
    time counts in full, as a kernel whose operation is unknown.

    Raises:
        ProfileError: if there is no profile of the runs in it, or a row that cannot be read.
        ArtifactError: if `model` cannot be read.
    """
    lines = [_LOG.sub("", line).rstrip() for line in text.splitlines()]
    begin = _run_order(lines)
    rows = _rows(lines[begin:])
    if not rows:
        raise ProfileError(
            "the output holds no profile by operation; run benchmark_model with --enable_op_profiling=true"
        )
    operations = tuple(_alone(row) for row in rows) if model is None else _traced(rows, read_graph(model))
    runs, profiled = _counted(lines, begin)
    return OperationProfile(
        path="" if model is None else str(model),
        sha256="" if model is None else sha256(model),
        device=device,
        runtime="benchmark_model",
        mode="delegate" if any(row.name.startswith(DELEGATE) for row in rows) else "builtin",
        threads=threads if threads is not None else _threads(lines),
        warmup=None,
        runs=runs,
        unprofiled_ms=None,
        profiled_ms=profiled,
        operations=operations,
    )


def _run_order(lines: list[str]) -> int:
    """The line after the title of the regular runs' first Run Order; old tools print that table alone."""
    begin = next((at for at, line in enumerate(lines) if line.startswith(REGULAR)), 0)
    for at in range(begin, len(lines)):
        if (found := _TITLE.match(lines[at])) and found[1] == RUN_ORDER:
            return at + 1
    return len(lines)


def _rows(lines: list[str]) -> list[_Row]:
    """The rows until the blank line that ends the table, or what follows it."""
    rows: list[_Row] = []
    for line in lines:
        if (rows and not line) or _TITLE.match(line) or line.startswith(("Number of nodes", "Timings")):
            break
        if line and not line.startswith(("[node type]", "node type,")):
            rows.append(_row(line))
    return rows


def _row(line: str) -> _Row:
    if found := _FIGURES.fullmatch(line):
        return _Row(found["kind"].strip(), float(found["average"]), int(found["calls"]), found["name"].strip())
    # CSV: kernels' names hold commas themselves, so cells are found by the percent signs in their midst.
    cells = [cell.strip() for cell in line.split(",")]
    shares = [at for at, cell in enumerate(cells) if re.fullmatch(r"[\d.e+-]+%", cell)]
    try:
        first, second = shares[:2]
        figures = [cell for cell in cells[:first] if re.fullmatch(r"[\d.e+-]+", cell)]
        kind = ", ".join(cells[: first - len(figures)])
        return _Row(kind, float(figures[-1]), int(cells[second + 2]), ", ".join(cells[second + 3 :]))
    except (ValueError, IndexError):
        raise ProfileError(f"a row of the profile cannot be read: {line[:120]!r}") from None


def _traced(rows: list[_Row], graph: Graph) -> tuple[OperationTime, ...]:
    """The graph's operations. Where rows are merged, the order of a delegate's kernels is no longer known."""
    by_tensor = {one.outputs[0].name: one.index for one in graph.operations if one.outputs}
    kernels = [_kernel(row, by_tensor) for row in rows]
    if not any(row.calls > 1 and row.name.startswith(DELEGATE) for row in rows):
        return trace(graph, kernels)
    own = [kernel for kernel in kernels if kernel.order is None]
    return (*trace(graph, own), *(untraced(kernel) for kernel in kernels if kernel.order is not None))


def _kernel(row: _Row, by_tensor: Mapping[str, int]) -> TimedKernel:
    name, number = _named(row)
    time = (row.average_ms * max(row.calls, 1),)
    if row.name.startswith(DELEGATE):
        return TimedKernel(row.kind, time, order=number)
    return TimedKernel(row.kind, time, node=by_tensor.get(name) if number is None else number)


def _named(row: _Row) -> tuple[str, int | None]:
    """The first tensor that an operation writes, and its number; tools before 2020 tell none."""
    found = _NAME.fullmatch(row.name)
    name = found["name"] if found else row.name
    return name.strip("[]").split(", ")[0], int(found["number"]) if found else None


def _alone(row: _Row) -> OperationTime:
    """A row without the graph: an operation of the runtime by its tensor, a kernel or a delegate by itself."""
    kernel = _kernel(row, {})
    if kernel.order is not None or "Delegate" in row.kind:
        return untraced(kernel)
    at = place(_named(row)[0], operation=row.kind)
    return OperationTime(kernel.node, row.kind, at.layer, at.block, at.part, False, (row.kind,), kernel.median_ms, None)


def _counted(lines: list[str], begin: int) -> tuple[int | None, float | None]:
    """The profiled runs, and the average of a run in milliseconds, where they are told.

    Below the table stands the sum of its operations; in excerpts only the whole runs above it may be left.
    """
    below = [found for line in lines[begin:] if (found := _COUNT.match(line))]
    above = [found for line in lines[:begin] if (found := _RUNS.match(line))]
    for count, average in (found.groups() for found in (*below[-1:], *above[-1:])):
        return int(count), None if average is None else float(average) / 1e3
    return None, None


def _threads(lines: list[str]) -> int | None:
    said = [match for line in lines if (match := re.match(r"Num threads: \[(\d+)\]", line))]
    return int(said[-1][1]) if said else None
