"""How a graph falls apart between a delegate and the CPU, as TFLite parts it."""

from collections.abc import Collection
from dataclasses import dataclass

from mobile_seg.profiling.delegates.graph import Graph, Operation
from mobile_seg.profiling.delegates.rules import Broken, Delegate, Explanation


@dataclass(frozen=True)
class Refusal:
    """An operation that stays on the CPU, and why."""

    operation: Operation
    broken: Broken


@dataclass(frozen=True)
class Split:
    """What a delegate takes of a graph.

    `partitions` are the parts it runs, as indices of operations, in the order of execution; `refused` breaks a rule,
    `left` could be taken but lies in a part that the delegate does not keep.
    """

    partitions: tuple[tuple[int, ...], ...]
    refused: tuple[Refusal, ...]
    left: tuple[Refusal, ...]

    @property
    def taken(self) -> frozenset[int]:
        """Indices of the operations on the accelerator."""
        return frozenset(index for part in self.partitions for index in part)


def split(graph: Graph, delegate: Delegate) -> Split:
    """Judge every operation and part the graph as TFLite would."""
    found: dict[int, Broken] = {}
    for operation in graph.operations:
        if _unpacked(operation, delegate):
            continue
        broken = delegate.broken(operation)
        if broken is not None:
            found[operation.index] = broken
    found |= _kept_unpackings(graph, delegate, found)
    parts = partitions(graph, {one.index for one in graph.operations} - found.keys())
    kept = _kept(parts, delegate)
    dropped = {index for part in parts if part not in kept for index in part}
    return Split(
        partitions=kept,
        refused=tuple(Refusal(graph.operations[index], broken) for index, broken in sorted(found.items())),
        left=tuple(Refusal(graph.operations[index], _limit(delegate)) for index in sorted(dropped)),
    )


def partitions(graph: Graph, supported: Collection[int]) -> tuple[tuple[int, ...], ...]:
    """Return the parts of supported operations that TFLite makes one node each.

    Operations are taken in order of execution, all that are ready and of one kind (supported or not) before any of
    the other: `PartitionGraphIntoIndependentNodeSubsets` in tflite/core/subgraph.cc and graph_info.cc of LiteRT.
    """
    made_by = {one.index: operation.index for operation in graph.operations for one in operation.outputs}
    needs = [
        {made_by[one.index] for one in operation.given if one.index in made_by} - {operation.index}
        for operation in graph.operations
    ]
    done: set[int] = set()
    waiting = list(range(len(graph.operations)))
    found = []
    while waiting:
        kind: bool | None = None
        part: list[int] = []
        progress = True
        while progress:
            progress = False
            for index in list(waiting):
                if not needs[index] <= done:
                    continue
                if kind is None:
                    kind = index in supported
                if (index in supported) != kind:
                    continue
                part.append(index)
                done.add(index)
                waiting.remove(index)
                progress = True
        if kind is None:  # a cycle, which no runtime would load
            break
        if kind:
            found.append(tuple(sorted(part)))
    return tuple(found)


def _unpacked(operation: Operation, delegate: Delegate) -> bool:
    """Whether it only unpacks weights that the delegate unpacks itself."""
    if operation.kind not in ("DEQUANTIZE", "DENSIFY") or not operation.given or not operation.outputs:
        return False
    source = operation.given[0]
    stored = source.constant or source.unpacked
    return stored and (source.dtype in delegate.unpacks or (operation.kind == "DENSIFY" and bool(delegate.unpacks)))


def _kept_unpackings(graph: Graph, delegate: Delegate, found: dict[int, Broken]) -> dict[int, Broken]:
    """Weights that an operation on the CPU reads are unpacked there."""
    outside = {one.index for operation in graph.operations if operation.index in found for one in operation.given}
    why = Explanation(
        "Weights that an operation on the CPU reads are unpacked there.",
        delegate.source,
        "Bring the operation that reads them to the delegate.",
    )
    return {
        operation.index: Broken("unpacked weights", why, "")
        for operation in graph.operations
        if _unpacked(operation, delegate) and any(one.index in outside for one in operation.outputs)
    }


def _kept(parts: tuple[tuple[int, ...], ...], delegate: Delegate) -> tuple[tuple[int, ...], ...]:
    large = [part for part in parts if len(part) >= delegate.fewest]
    if delegate.most is None:
        return tuple(large)
    chosen = large[: delegate.most] if delegate.in_order else sorted(large, key=len, reverse=True)[: delegate.most]
    return tuple(part for part in parts if part in chosen)


def _limit(delegate: Delegate) -> Broken:
    sentence = f"{delegate.title} keeps "
    if delegate.most is None:
        sentence += f"parts of at least {delegate.fewest} operations."
    else:
        which = "first" if delegate.in_order else "largest"
        sentence += f"the {which} part only." if delegate.most == 1 else f"the {delegate.most} {which} parts only."
    fix = "Mend what parts the graph before it: the refusals above."
    return Broken("limit of parts", Explanation(sentence, delegate.source, fix), "")
