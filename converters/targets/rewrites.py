"""The table of rewrites: each one function, whose docstring is the row that users read."""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.builder import Conversion
from mobile_seg.converters.targets.edit import Edit
from mobile_seg.converters.targets.pooling import average_in_floats, classes_in_32_bits, strided_pixels
from mobile_seg.converters.targets.rectifying import rectifier_by_convolution
from mobile_seg.converters.targets.resizing import (
    blocks_by_convolution,
    nearest_by_copies,
    nearest_in_steps,
    one_pixel_tiled,
)

Apply = Callable[[Edit, Any], bool]
"""Writes what replaces an operator; false, with nothing written, where its condition does not hold."""


@dataclass(frozen=True)
class Rewrite:
    """One way to write an operation otherwise, without changing a number.

    `sentence` says what becomes of it, `condition` where that holds; `targets` are what it is for.
    """

    name: str
    operations: tuple[str, ...]
    targets: tuple[str, ...]
    sentence: str
    condition: str
    apply: Apply


@dataclass(frozen=True)
class Rewritten:
    """A rewrite that was applied, at an operation by its place in the graph before."""

    rewrite: Rewrite
    position: int


@dataclass(frozen=True)
class Result:
    """A file's bytes after rewriting, what was applied, and the conversions between grids that came with it."""

    content: bytes
    rewritten: tuple[Rewritten, ...]
    conversions: tuple[Conversion, ...]


def _row(apply: Apply, *operations: str) -> Rewrite:
    text = inspect.cleandoc(apply.__doc__ or "")
    found = re.fullmatch(r"(.+?)\n\nFor: (.+?)\nWhere: (.+?)(?:\n\n.+)?", text, flags=re.DOTALL)
    if not found:
        raise ValueError(f"{apply} does not state its sentence, For: and Where:")
    sentence, targets, condition = (" ".join(part.split()) for part in found.groups())
    name = getattr(apply, "__name__", "").replace("_", " ")
    return Rewrite(name, operations, tuple(targets.split(", ")), sentence, condition, apply)


REWRITES: tuple[Rewrite, ...] = (
    _row(nearest_by_copies, "RESIZE_NEAREST_NEIGHBOR"),
    _row(strided_pixels, "MAX_POOL_2D"),
    _row(average_in_floats, "AVERAGE_POOL_2D"),
    _row(rectifier_by_convolution, "RELU", "RELU6"),
    _row(one_pixel_tiled, "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
    _row(nearest_in_steps, "RESIZE_NEAREST_NEIGHBOR"),
    _row(blocks_by_convolution, "SPACE_TO_DEPTH"),
    _row(classes_in_32_bits, "ARG_MAX"),
)
"""In the order in which they are tried."""


def offered(operation: str, *, target: str) -> tuple[Rewrite, ...]:
    """Return the rewrites of a kind of operation that are for a target."""
    return tuple(one for one in REWRITES if target in one.targets and operation in one.operations)


def rewrite(content: bytes, *, target: str, at: Iterable[int]) -> Result:
    """Rewrite the operations at these places of a `.tflite` file's main graph, where a rewrite is for the target.

    What has none, or breaks its condition, stays as it is. The file is the same if nothing was rewritten.
    """
    edit, done = Edit(content), []
    for position in sorted(at, reverse=True):  # from the back: places in front of it stay
        operator = edit.graph.operators[position]
        for one in offered(_KINDS[edit.kind(operator)], target=target):
            if one.apply(edit, operator):
                edit.replace(position)
                done.append(Rewritten(one, position))
                break
    if not done:
        return Result(content, (), ())
    return Result(edit.packed(), tuple(reversed(done)), tuple(edit.conversions))


_KINDS = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
