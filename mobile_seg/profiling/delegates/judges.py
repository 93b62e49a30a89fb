"""The real compilers, where they run on this machine: what they say of a file, beside what our rules say."""

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobile_seg.errors import MissingExtraError, ProfileError, UsageError
from mobile_seg.profiling.delegates import judge_gpu, judge_vela
from mobile_seg.profiling.delegates.graph import Graph, Operation
from mobile_seg.profiling.delegates.interpreter import delegated
from mobile_seg.profiling.delegates.judge_gpu import LiteRTMissing
from mobile_seg.profiling.delegates.partition import Split
from mobile_seg.verify.tflite_runner import load_interpreter


@dataclass(frozen=True)
class Opinion:
    """What a compiler says of a file.

    `taken` counts the operations on the accelerator. `left` are those it leaves, as indices, or None if it tells
    their kinds only. `partitions` is None where it does not say. `estimates` are (what, value): numbers that the
    compiler computed and nobody measured.
    """

    judge: str
    taken: int
    left: frozenset[int] | None
    left_kinds: frozenset[str]
    partitions: int | None = None
    estimates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Agreement:
    """How often our rules and a judge say the same of an operation; `differences` are (operation, layer, who takes it).

    `alike` of `operations`; where the judge tells kinds only, those of its kinds count.
    """

    judge: str
    operations: int
    alike: int
    differences: tuple[tuple[str, str, str], ...]
    partitions: tuple[int, int] | None
    estimates: tuple[tuple[str, str], ...]

    @property
    def share(self) -> float:
        """Part of the operations on which both agree, 0 to 1."""
        return self.alike / self.operations if self.operations else 1.0


def agreement(graph: Graph, parted: Split, opinion: Opinion) -> Agreement:
    """Compare what our rules take with what a judge takes."""
    ours = parted.taken
    if opinion.left is not None:
        theirs = {one.index for one in graph.operations} - opinion.left
        wrong = [one for one in graph.operations if (one.index in ours) != (one.index in theirs)]
        differences = [(one.kind, one.layer, "our rules" if one.index in ours else "the judge") for one in wrong]
        alike = len(graph.operations) - len(wrong)
    else:
        refused = {one.operation.kind for one in parted.refused}
        kinds = sorted(refused ^ opinion.left_kinds)
        differences = [(kind, "", "the judge" if kind in refused else "our rules") for kind in kinds]
        alike = len(graph.operations) - abs(len(ours) - opinion.taken) - len(kinds)
    counts = None if opinion.partitions is None else (len(parted.partitions), opinion.partitions)
    return Agreement(
        judge=opinion.judge,
        operations=len(graph.operations),
        alike=max(alike, 0),
        differences=tuple(differences),
        partitions=counts,
        estimates=opinion.estimates,
    )


def ask(graph: Graph, delegate: str) -> Opinion:
    """Ask the compiler behind a delegate.

    Raises:
        ArtifactError: if this machine's runtime refuses the file.
        MissingExtraError: if the compiler is not installed; the message holds the install line.
        ProfileError: if it gives no verdict, or has no GPU to give one with.
        UsageError: for a delegate whose compiler does not run here.
    """
    if delegate not in JUDGES:
        raise UsageError(f"no compiler for {delegate} runs on this machine; there are: {', '.join(JUDGES)}")
    return JUDGES[delegate](graph)


def xnnpack(graph: Graph) -> Opinion:
    """Let this machine's interpreter part the graph for XNNPACK, and see which operations it replaced."""
    interpreter = load_interpreter(Path(graph.path).read_bytes(), name=graph.path)
    count, taken = delegated(interpreter)
    left = frozenset(one.index for one in graph.operations) - taken
    return Opinion(
        judge=f"XNNPACK in LiteRT {_version('ai-edge-litert')}",
        taken=len(taken),
        left=left,
        left_kinds=frozenset(graph.operations[index].kind for index in left),
        partitions=count,
    )


def gpu(graph: Graph) -> Opinion:
    """Compile for the GPU that WebGPU finds, a software one included, in a process of its own."""
    try:
        refused, taken = judge_gpu.compile_in_child(graph.path)
    except LiteRTMissing as error:
        raise MissingExtraError(
            "the GPU accelerator stands in LiteRT; install it with: pip install ai-edge-litert"
        ) from error
    return Opinion(
        judge=f"GPU accelerator in LiteRT {_version('ai-edge-litert')}",
        taken=len(graph.operations) if taken is None else taken,
        left=None,
        left_kinds=frozenset(refused),
    )


def ethos_u(graph: Graph) -> Opinion:
    """Compile with Arm's Vela, in a process of its own; its cycle counts are estimates."""
    if importlib.util.find_spec("ethosu") is None:
        raise MissingExtraError('judging Ethos-U needs Vela; install it with: pip install "mobile-seg[vela]"')
    refused, estimates = judge_vela.compile_in_child(graph.path)
    names = {(kind.replace("_", ""), name) for kind, name in refused}
    left = frozenset(
        one.index for one in graph.operations for kind in _said(one) if (kind, one.outputs[0].name) in names
    )
    if len(left) < len(names):
        raise ProfileError(f"{graph.path}: Vela refuses an operation by a name that the file has not")
    return Opinion(
        judge=f"Vela {_version('ethos-u-vela')}, {judge_vela.CONFIGURATION}",
        taken=len(graph.operations) - len(left),
        left=left,
        left_kinds=frozenset(graph.operations[index].kind for index in left),
        estimates=estimates,
    )


def _said(operation: Operation) -> tuple[str, ...]:
    """Return the names by which Vela may call an operation: its own, and that of the activation fused into it.

    Vela makes the activation an operation of its own, which takes over the name of the output.
    """
    if not operation.outputs:
        return ()
    own = "CUSTOM" if operation.custom else operation.kind
    return tuple(kind.replace("_", "") for kind in (own, operation.activation))


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of this machine"


JUDGES: dict[str, Callable[[Graph], Opinion]] = {"xnnpack": xnnpack, "gpu": gpu, "ethos-u": ethos_u}
"""Delegate → its compiler, where one runs on a plain machine."""
