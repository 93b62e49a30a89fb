"""`mobile-seg inspect`: what a model file holds, needs and says of itself."""

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mobile_seg.cli.terminal import megabytes, say, say_json, table

if TYPE_CHECKING:
    from mobile_seg.inspection.records import Inspection, Layer, Tensor

SHOWN = 10
"""Layers listed unless all are asked for."""

LONGEST = 200
"""Characters of a name or value before it is cut."""


NONE = "no manifest of mobile-seg in it"

WIDEST = 60
"""Characters of a layer's name in the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a .tflite, .onnx, .mlpackage or .keras, from mobile-seg or not")
    parser.add_argument("--all", action="store_true", help=f"list every layer's weights (default: the {SHOWN} largest)")
    parser.add_argument("--json", action="store_true", help="print JSON, with all of it")


def run(args: argparse.Namespace) -> int:
    """Look into the file and show it."""
    from mobile_seg.inspection.dispatch import inspect_file

    found = inspect_file(args.file)
    if args.json:
        say_json(found.to_dict())
        return 0
    say(*lines(found, layers=None if args.all else SHOWN))
    return 0


def lines(found: "Inspection", *, layers: int | None = SHOWN) -> list[str]:
    """The description as text; `layers` is how many layers are listed, None for all."""
    grids = found.quantization
    scales = f" ({grids.per_tensor} tensors with one scale, {grids.per_channel} with one per channel)"
    asked = [
        f"{verdict.program} loads it" if verdict.accepted else f"{verdict.program} refuses it: {verdict.reason}"
        for verdict in found.verdicts
    ]
    rows = [
        ("file", f"{found.path}, {found.format}, {_size(found.size_bytes)}"),
        ("needs", found.runtime),
        *(("input", _tensor(tensor)) for tensor in found.inputs),
        *(("output", _tensor(tensor)) for tensor in found.outputs),
        ("precision", grids.precision + (scales if grids.per_tensor or grids.per_channel else "")),
        *(("reads", line) for line in (*asked, *found.reads)),
    ]
    value = found.to_dict()
    manifest = _section("manifest", _nested(value["manifest"])) if found.manifest else ["", NONE]
    return [
        *(f"{name:<10} {clean(text, longest=300)}" for name, text in rows),
        *_section("operations", [f"{count:>6}  {clean(name)}" for name, count in found.operations]),
        *_section(*_weights(found.layers, layers)),
        *_section("metadata", _nested(value["metadata"])),
        *_section("files inside", [f"{size:>10}  {clean(name)}" for name, size in found.files]),
        *manifest,
    ]


def clean(text: str, *, longest: int = LONGEST) -> str:
    """Text from a file, fit for a terminal: no control characters, and not too long."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _section(title: str, body: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in body)] if body else []


def _weights(every: "tuple[Layer, ...]", shown: int | None) -> tuple[str, list[str]]:
    total = sum(layer.size_bytes for layer in every)
    title = f"weights: {_size(total)} in {len(every)} layers, largest first"
    listed = every[:shown]
    if not listed:
        return title, []
    rows = [
        (
            _short(layer.name),
            clean(layer.operation),
            f"{layer.dtype} {_shape(layer.shape)}",
            str(layer.size_bytes),
        )
        for layer in listed
    ]
    left = [f"… and {len(every) - len(listed)} more: --all lists them"] if len(listed) < len(every) else []
    return title, [*table(rows, header=("layer", "operation", "largest", "bytes")), *left]


def _size(size: int) -> str:
    return megabytes(size) if size >= 100_000 else f"{size} bytes"


def _short(name: str) -> str:
    """The first of the names that a converter joined, without its beginning, which layers share."""
    first = clean(name.split(";")[0], longest=len(name))
    return first if len(first) <= WIDEST else f"…{first[1 - WIDEST :]}"


def _tensor(tensor: "Tensor") -> str:
    grid = "" if tensor.scale is None else f", scale {tensor.scale:.9g}, zero point {tensor.zero_point}"
    return f"{tensor.name} {tensor.dtype} {_shape(tensor.shape)}{grid}"


def _shape(shape: tuple[int | str, ...]) -> str:
    return f"[{', '.join('?' if side == -1 else str(side) for side in shape)}]"


def _nested(value: Any, name: str = "") -> list[str]:
    """Mappings as indented lines, lists of plain values on one."""
    if isinstance(value, Mapping):
        inner = [line for key, one in value.items() for line in _nested(one, clean(str(key)))]
        return [f"{name}:", *(f"  {line}" for line in inner)] if name and inner else inner
    if isinstance(value, list) and any(isinstance(one, (Mapping, list)) for one in value):
        if not any(isinstance(one, Mapping) for one in value):
            return [f"{name}: {clean(json.dumps(value, ensure_ascii=False))}"]
        return [f"{name}:", *(f"  {line}" for one in value for line in _bullet(_nested(one)))]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return [f"{name}: {clean(text)}" if name else clean(text)]


def _bullet(body: list[str]) -> list[str]:
    return [f"{'- ' if number == 0 else '  '}{line}" for number, line in enumerate(body)]
