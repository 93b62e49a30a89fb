"""Fitting a converted file to what will run it: the check finds what is refused, rewrites mend it, the check tells."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mobile_seg.errors import UsageError

if TYPE_CHECKING:
    from mobile_seg.converters.builder import Conversion
    from mobile_seg.profiling.delegates.check import DelegateCheck, Finding


@dataclass(frozen=True)
class Mended:
    """One kind of rewrite as it was applied: its name, what it says of itself, and the layers it was applied at."""

    name: str
    sentence: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """How a file fits its target after rewriting: `mended` is what was rewritten, `check` what the target makes of it.

    `before` are the parts that the target would have made of the file as it was.
    """

    target: str
    mended: tuple[Mended, ...]
    check: "DelegateCheck"
    before: int
    conversions: "tuple[Conversion, ...]" = ()

    @property
    def refused(self) -> "tuple[Finding, ...]":
        """What stays outside for a reason of its own."""
        return tuple(found for found in self.check.findings if found.refusal)

    @property
    def lines(self) -> tuple[str, ...]:
        """The whole of it in words, a line for each verdict, rewrite and refusal."""
        said = [f"{self.check.title} {self.check.verdict}"]
        said += [f"rewritten at {_named(one.layers)}: {one.sentence}" for one in self.mended]
        for found in self.refused:
            kinds = ", ".join(f"{kind} x{count}" for kind, count in found.operations)
            detail = f" ({found.detail})" if found.detail else ""
            said.append(f"left at {_named(found.layers)}: {kinds}: {found.reason}{detail} Fix: {found.fix}")
        return tuple(said)


def fit(content: bytes, *, target: str, name: str) -> tuple[bytes, Fit]:
    """Rewrite what a target refuses of a `.tflite` file and can be written otherwise, bit for bit; see `Fit`.

    Args:
        target: a delegate of `mobile-seg check` that rewrites are for.
        name: what errors call the file.

    Raises:
        ArtifactError: if the file is damaged.
        UsageError: if the target takes nothing of it, with its reason and the fix.
    """
    from mobile_seg.converters.targets.rewrites import rewrite
    from mobile_seg.profiling.delegates.check import check_graph
    from mobile_seg.profiling.delegates.partition import split
    from mobile_seg.profiling.delegates.reading import read_content
    from mobile_seg.profiling.delegates.registry import find

    delegate = find(target)
    graph = read_content(content, name=name)
    parted = split(graph, delegate)
    made = rewrite(content, target=target, at=[one.operation.index for one in parted.refused])
    layers: dict[str, list[str]] = {}
    for one in made.rewritten:
        layers.setdefault(one.rewrite.name, []).append(graph.operations[one.position].layer)
    sentences = {one.rewrite.name: one.rewrite.sentence for one in made.rewritten}
    checked = check_graph(read_content(made.content, name=name), delegate)
    if not checked.taken:
        raise UsageError(_nothing(checked, name))
    mended = tuple(Mended(one, sentences[one], tuple(at)) for one, at in layers.items())
    return made.content, Fit(target, mended, checked, len(parted.partitions), made.conversions)


def _nothing(checked: "DelegateCheck", name: str) -> str:
    found = checked.findings[0]
    return f"{name}: {checked.title} takes nothing of it: {found.reason} {found.fix}"


def _named(layers: tuple[str, ...], most: int = 3) -> str:
    more = f" and {len(layers) - most} more" if len(layers) > most else ""
    return ", ".join(layers[:most]) + more
