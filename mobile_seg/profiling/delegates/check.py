"""What each delegate would do with a file, in numbers and in words."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mobile_seg.profiling.delegates.graph import Graph
from mobile_seg.profiling.delegates.partition import Refusal, Split, split
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.delegates.registry import DELEGATES, find
from mobile_seg.profiling.delegates.rules import Delegate

DEFAULT = tuple(DELEGATES)


@dataclass(frozen=True)
class Finding:
    """Operations that stay on the CPU for one reason.

    `operations` are (kind, count), most first; `layers` are their layers, in the order of execution; `detail` is what
    the first of them says. A finding that is not a `refusal` could run on the delegate, but lies in a part that
    it does not keep.
    """

    operations: tuple[tuple[str, int], ...]
    rule: str
    reason: str
    detail: str
    fix: str
    source: str
    layers: tuple[str, ...]
    refusal: bool = True


@dataclass(frozen=True)
class DelegateCheck:
    """What one delegate would do with a graph: operations and multiply-adds on it, in how many parts, and what not."""

    delegate: str
    title: str
    about: str
    operations: int
    taken: int
    partitions: int
    macs: int
    macs_taken: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """Part of the multiply-adds on the delegate, 0 to 1; None for a graph without any."""
        return self.macs_taken / self.macs if self.macs else None

    @property
    def verdict(self) -> str:
        """The whole of it in a few words."""
        if not self.taken:
            return "takes nothing"
        whole = self.taken == self.operations
        parts = "one part" if self.partitions == 1 else f"{self.partitions} parts"
        return f"takes all of it in {parts}" if whole else f"leaves {self.operations - self.taken}, in {parts}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        named = {key: value for key, value in vars(self).items() if key != "findings"}
        findings = [dict(vars(one), operations=dict(one.operations), layers=list(one.layers)) for one in self.findings]
        return named | {"notes": list(self.notes), "share": self.share, "verdict": self.verdict, "findings": findings}


@dataclass(frozen=True)
class Check:
    """A file before its delegates."""

    path: str
    size_bytes: int
    operations: int
    macs: int
    delegates: tuple[DelegateCheck, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dict(vars(self), delegates=[one.to_dict() for one in self.delegates])


def check_file(path: str | os.PathLike[str], *, delegates: Iterable[str] = DEFAULT) -> Check:
    """Check a `.tflite` file, anybody's, against delegates by name (`nnapi:29` asks for an Android level).

    Raises:
        ArtifactError: if the file is missing or damaged.
        MissingExtraError: if LiteRT, whose schema names operations, is not installed.
        UsageError: for another kind of file, or an unknown delegate.
    """
    asked = [find(name) for name in delegates]
    graph = read_graph(path)
    return Check(
        path=graph.path,
        size_bytes=graph.size_bytes,
        operations=len(graph.operations),
        macs=graph.macs,
        delegates=tuple(check_graph(graph, delegate) for delegate in asked),
    )


def check_graph(graph: Graph, delegate: Delegate) -> DelegateCheck:
    """Check one graph against one delegate."""
    parted = split(graph, delegate)
    return DelegateCheck(
        delegate=delegate.name,
        title=delegate.title,
        about=delegate.about,
        operations=len(graph.operations),
        taken=len(parted.taken),
        partitions=len(parted.partitions),
        macs=graph.macs,
        macs_taken=sum(graph.operations[index].macs for index in parted.taken),
        findings=_findings(parted),
        notes=delegate.notes,
    )


def _findings(parted: Split) -> tuple[Finding, ...]:
    """Refusals by rule, most operations first; what a limit of parts leaves comes last."""
    groups: dict[tuple[str, str, str], list[Refusal]] = {}
    for one in (*parted.refused, *parted.left):
        words = one.broken.explanation
        groups.setdefault((one.broken.rule, words.sentence, words.fix), []).append(one)
    left = {one.operation.index for one in parted.left}
    ordered = sorted(groups.values(), key=lambda members: (members[0].operation.index in left, -len(members)))
    return tuple(
        Finding(
            operations=tuple(Counter(one.operation.kind for one in members).most_common()),
            rule=members[0].broken.rule,
            reason=members[0].broken.explanation.sentence,
            detail=members[0].broken.detail,
            fix=members[0].broken.explanation.fix,
            source=members[0].broken.explanation.source,
            layers=tuple(one.operation.layer for one in members),
            refusal=members[0].operation.index not in left,
        )
        for members in ordered
    )
