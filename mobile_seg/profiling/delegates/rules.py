"""What a delegate is: operations it takes, and rules that each is one function whose docstring is the rule."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mobile_seg.profiling.delegates.graph import Operation, Tensor

Rule = Callable[[Operation], str | None]
"""Takes an operation that the delegate knows; returns what is wrong with this one, or None if the rule holds.

The docstring's first paragraph is the sentence that users read. `Source:` says where it comes from, `Fix:` what
to do; a rule of the file's author, not of ours, so the source is a file or a page of theirs.
"""

EIGHT_BIT = ("int8", "uint8")
FLOATS = ("float32", "float16")


@dataclass(frozen=True)
class Explanation:
    """A rule in words."""

    sentence: str
    source: str
    fix: str


@dataclass(frozen=True, eq=False)
class Delegate:
    """What a delegate takes, as data.

    `operations` maps each operation it knows to its rules; `general` hold for all of them and come first.
    `instead` says what to do about an operation that it does not know. A graph is parted as TFLite does, of
    parts with at least `fewest` operations, of which at most `most` are kept: the largest, or with
    `in_order` the first ones. DEQUANTIZE of weights stored as one of `unpacks` vanishes into the delegate.
    `judge` names the real compiler that can be asked on this machine, if there is one.
    """

    name: str
    title: str
    about: str
    source: str
    operations: Mapping[str, tuple[Rule, ...]]
    general: tuple[Rule, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unpacks: tuple[str, ...] = ()
    most: int | None = None
    fewest: int = 1
    in_order: bool = False
    judge: str = ""

    def broken(self, operation: Operation) -> "Broken | None":
        """Return the first rule that keeps an operation out, or None if it is taken."""
        if operation.kind not in self.operations:
            fix = self.instead.get(operation.kind, ELSEWHERE)
            unknown = Explanation(f"{self.title} has no {operation.kind}.", self.source, fix)
            return Broken("unknown operation", unknown, "")
        for rule in (*self.general, *self.operations[operation.kind]):
            detail = rule(operation)
            if detail is not None:
                return Broken(name_of(rule), explain(rule), detail)
        return None


ELSEWHERE = "Leave it to the end of the graph, where it parts nothing, or take it out of the file."


@dataclass(frozen=True)
class Broken:
    """The rule that an operation breaks, and what in it does."""

    rule: str
    explanation: Explanation
    detail: str


def explain(rule: Rule) -> Explanation:
    """Return a rule's docstring in its three parts."""
    text = inspect.cleandoc(rule.__doc__ or "")
    found = re.fullmatch(r"(.+?)\n\n(?:.+\n\n)?Source: (.+?)\nFix: (.+)", text, flags=re.DOTALL)
    if not found:
        raise ValueError(f"{rule} does not state its sentence, Source: and Fix:")
    return Explanation(*(" ".join(part.split()) for part in found.groups()))


def name_of(rule: Rule) -> str:
    """Return a rule's name in words."""
    return rule.__name__.strip("_").replace("_", " ")


def stated(**values: Any) -> Callable[[Rule], Rule]:
    """Fill the braces of a rule's docstring, so that the numbers it states are those that it tests."""

    def fill(rule: Rule) -> Rule:
        rule.__doc__ = (rule.__doc__ or "").format(**values)
        return rule

    return fill


def listed(values: Iterable[object]) -> str:
    """`a, b or c`."""
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def shown(tensor: Tensor) -> str:
    """A tensor as details mention it: `int8 [1, 8, 12, 40]`."""
    return f"{tensor.dtype} {list(tensor.shape)}"


def per_tensor(tensor: Tensor) -> bool:
    """Whether it has exactly one scale."""
    return len(tensor.scales) == 1


def same_grid(*tensors: Tensor) -> bool:
    """Whether all have one scale and zero point, and the same."""
    grids = {(tensor.scales, tensor.zero_points or (0,)) for tensor in tensors}
    return len(grids) == 1 and all(map(per_tensor, tensors))


def enlargement(operation: Operation) -> tuple[float, float]:
    """Factors, high and wide, by which a resize enlarges; of spans between corners where those are aligned."""
    given, made = operation.given[0], operation.outputs[0]
    less = 1 if operation.options.get("align_corners") else 0
    high, wide = (
        (after - less) / (before - less) if before > less else float(after)
        for before, after in zip(given.shape[1:3], made.shape[1:3], strict=True)
    )
    return high, wide


def axes(operation: Operation, *, at: int = 1) -> tuple[int, ...] | None:
    """The axes in a constant input, counted from the front; None if it is no constant."""
    tensor = operation.inputs[at] if len(operation.inputs) > at else None
    if tensor is None or tensor.values is None or operation.inputs[0] is None:
        return None
    rank = operation.inputs[0].rank
    return tuple(int(one) % rank if rank else 0 for one in tensor.values.ravel())


def integers(operation: Operation, at: int) -> list[int] | None:
    """The whole numbers in a constant input, flat; None if it is no constant."""
    tensor = operation.inputs[at] if len(operation.inputs) > at else None
    return None if tensor is None or tensor.values is None else [int(one) for one in tensor.values.ravel()]
