"""From the kernels that ran back to the operations of the graph."""

from collections.abc import Sequence

import numpy as np

from mobile_seg.profiling.delegates.graph import Graph, Operation
from mobile_seg.profiling.delegates.partition import partitions
from mobile_seg.profiling.operations.costs import cost, stored
from mobile_seg.profiling.operations.kernels import HELPERS, MAY_VANISH, STANDS_FOR, family
from mobile_seg.profiling.operations.layers import place
from mobile_seg.profiling.operations.records import UNTRACED, OperationTime, TimedKernel

FITS, HELPS, VANISHES, MISSING, FOREIGN = 0, 2, 1, 100, 1000
"""What an assignment costs, by kind; the cheapest one in order is taken, and one with a FOREIGN kernel refused."""


def trace(graph: Graph, kernels: Sequence[TimedKernel]) -> tuple[OperationTime, ...]:
    """Return every operation with the time of its kernels, in the graph's order, then kernels that fit nowhere.

    Kernels of the runtime itself carry their operation's number. The others ran in a delegate: the operations that
    are left make the partitions, by the runtime's own rule, and within each the kernels follow the operations' order.
    """
    total = len(graph.operations)
    found: dict[int, list[TimedKernel]] = {}
    lost: list[TimedKernel] = []
    for kernel in kernels:
        if kernel.node is not None and 0 <= kernel.node < total:
            found.setdefault(kernel.node, []).append(kernel)
        elif kernel.order is None:  # a delegate that tells nothing of its inside: a node beyond the file's own
            lost.append(kernel)
    runs, parts = _by_partition(kernels), _parts(graph, set(found))
    inside = {index for part in parts for index in part}
    if len(runs) != len(parts):
        lost += [kernel for run in runs for kernel in run]
    else:
        for run, part in zip(runs, parts, strict=True):
            taken = align([kernel.name for kernel in run], [graph.operations[index].kind for index in part])
            if taken is None:
                lost += run
                continue
            for kernel, at in zip(run, taken, strict=True):
                found.setdefault(part[at], []).append(kernel)
    traced = tuple(_time(graph, index, found.get(index, ()), index in inside) for index in range(total))
    return (*traced, *(untraced(kernel) for kernel in lost))


def align(kernels: Sequence[str], operations: Sequence[str]) -> list[int] | None:
    """Assign each kernel to an operation, in order; None if some kernel can be the work of none there.

    The cheapest assignment wins: every operation has the one kernel that stands for it, and as many helpers as are
    needed; only operations that may vanish go without.
    """
    rows, columns = len(operations), len(kernels)
    unreachable = float("inf")
    # best[i][j]: the cheapest way to give the first j kernels to the first i operations.
    best = [[unreachable] * (columns + 1) for _ in range(rows + 1)]
    came = [[0] * (columns + 1) for _ in range(rows + 1)]
    best[0][0] = 0.0
    for row in range(1, rows + 1):
        operation = operations[row - 1]
        for column in range(columns + 1):
            fitting, helping = 0, 0.0
            for first in range(column, -1, -1):
                if first < column:
                    price = _price(kernels[first], operation)
                    fitting += price == FITS
                    helping += price
                    if price >= FOREIGN:
                        break
                alone = 0.0 if fitting else float(VANISHES if operation in MAY_VANISH and first == column else MISSING)
                total = best[row - 1][first] + helping + alone + max(fitting - 1, 0) * HELPS
                if total < best[row][column]:
                    best[row][column], came[row][column] = total, first
    if best[rows][columns] == unreachable:
        return None
    taken, column = [0] * columns, columns
    for row in range(rows, 0, -1):
        for kernel in range(came[row][column], column):
            taken[kernel] = row - 1
        column = came[row][column]
    return taken


def untraced(kernel: TimedKernel) -> OperationTime:
    """Return a delegate's kernel as an operation of its own, named after itself."""
    return OperationTime(None, kernel.name, kernel.name, UNTRACED, UNTRACED, True, (kernel.name,), kernel.median_ms)


def _parts(graph: Graph, left: set[int]) -> list[tuple[int, ...]]:
    """The delegated partitions; one that only unpacks weights has nothing to run."""
    taken = {operation.index for operation in graph.operations} - left
    return [part for part in partitions(graph, taken) if not all(_unpacks(graph.operations[index]) for index in part)]


def _unpacks(operation: Operation) -> bool:
    return operation.kind in ("DEQUANTIZE", "DENSIFY") and all(stored(tensor) for tensor in operation.given)


def _price(kernel: str, operation: str) -> int:
    kind = family(kernel)
    if operation in STANDS_FOR.get(kind, ()):
        return FITS
    return HELPS if kind in HELPERS else FOREIGN


def _by_partition(kernels: Sequence[TimedKernel]) -> list[list[TimedKernel]]:
    """Cut the delegate's kernels where their count begins anew."""
    runs: list[list[TimedKernel]] = []
    for kernel in kernels:
        if kernel.order is None:
            continue
        if kernel.order == 0 or not runs:
            runs.append([])
        runs[-1].append(kernel)
    return runs


def _together(kernels: Sequence[TimedKernel]) -> float:
    """The median over runs of what the kernels of one operation took together."""
    return float(np.median([sum(run) for run in zip(*(kernel.samples_ms for kernel in kernels), strict=True)] or [0.0]))


def _time(graph: Graph, index: int, kernels: Sequence[TimedKernel], delegated: bool) -> OperationTime:
    operation = graph.operations[index]
    kind = operation.kind
    written = operation.outputs[0].name if operation.outputs else ""
    # Not biases: those that are alike, such as all zeros, are stored once for many layers.
    constants = [tensor.name for tensor in operation.given if stored(tensor) and tensor.rank > 1]
    at = place(written, operation=kind, weights=constants)
    return OperationTime(
        index=index,
        operation=kind,
        layer=at.layer,
        block=at.block,
        part=at.part,
        delegated=delegated,
        kernels=tuple(kernel.name for kernel in kernels),
        milliseconds=_together(kernels),
        cost=cost(operation),
    )
