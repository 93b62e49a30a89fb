"""`mobile-seg check`: what each delegate would do with a .tflite file, offline."""

import argparse
from typing import TYPE_CHECKING, Any

from mobile_seg.cli.terminal import megabytes, note, percent, say, say_json, table

if TYPE_CHECKING:
    from mobile_seg.profiling.delegates.check import Check, DelegateCheck, Finding
    from mobile_seg.profiling.delegates.judges import Agreement

SHOWN = 3
"""Layers named for each finding unless all are asked for."""

LONGEST = 60
"""Characters of a layer's name before it is cut."""

NAMES = "xnnpack,gpu,nnapi,edgetpu,coreml,qnn,ethos-u"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a .tflite file, from mobile-seg or not")
    parser.add_argument(
        "--delegate",
        metavar="A,B",
        default=NAMES,
        help="one or several of %(default)s (default: all); nnapi:29 asks for an Android API level",
    )
    parser.add_argument(
        "--judge", action="store_true", help="ask the real compilers too, where they run here, and show agreement"
    )
    parser.add_argument("--all", action="store_true", help=f"name every layer (default: the first {SHOWN})")
    parser.add_argument("--json", action="store_true", help="print JSON, with all of it")


def run(args: argparse.Namespace) -> int:
    """Check the file and show what was found; a refusal is a finding, not a failure."""
    from mobile_seg.profiling.delegates.check import check_file

    names = tuple(dict.fromkeys(part.strip() for part in args.delegate.split(",")))
    checked = check_file(args.model, delegates=names)
    judged = _judge(checked) if args.judge else {}
    if args.json:
        say_json(checked.to_dict() | ({"judges": _plain(judged)} if args.judge else {}))
        return 0
    say(*lines(checked, layers=None if args.all else SHOWN), *_judged(judged))
    return 0


def lines(checked: "Check", *, layers: int | None = SHOWN) -> list[str]:
    """The findings as text; `layers` is how many layers each names, None for all."""
    macs = f", {checked.macs / 1e6:,.1f} M multiply-adds" if checked.macs else ""
    head = f"{checked.path}: {checked.operations} operations{macs}, {megabytes(checked.size_bytes)}"
    header = ("delegate", "taken", "parts", "multiply-adds", "verdict")
    rows = [
        (one.title, f"{one.taken} of {one.operations}", str(one.partitions), percent(one.share), one.verdict)
        for one in checked.delegates
    ]
    body = [line for one in checked.delegates for line in _delegate(one, layers)]
    return [head, "", *table(rows, header=header), *body]


def _delegate(one: "DelegateCheck", layers: int | None) -> list[str]:
    found = [line for finding in one.findings for line in _finding(finding, layers)]
    return ["", f"{one.title}: {one.about}", *found, *(f"  note: {text}" for text in one.notes)]


def _finding(found: "Finding", layers: int | None) -> list[str]:
    from mobile_seg.cli.inspect import clean

    named = [clean(layer, longest=LONGEST) for layer in found.layers[:layers]]
    more = [f"and {len(found.layers) - len(named)} more"] if len(named) < len(found.layers) else []
    detail = f" (first: {clean(found.detail)})" if found.detail else ""
    kinds = ", ".join(f"{clean(kind)} x{count}" for kind, count in found.operations)
    return [
        f"  {kinds}: {found.reason}{detail}",
        f"      at   {', '.join([*named, *more])}",
        f"      fix  {found.fix}",
    ]


def _judge(checked: "Check") -> "dict[str, Agreement | str]":
    from mobile_seg.errors import MobileSegError
    from mobile_seg.profiling.delegates import judges
    from mobile_seg.profiling.delegates.partition import split
    from mobile_seg.profiling.delegates.reading import read_graph
    from mobile_seg.profiling.delegates.registry import find

    graph = read_graph(checked.path)
    found: dict[str, Agreement | str] = {}
    for one in checked.delegates:
        if one.delegate not in judges.JUDGES:
            continue
        note(f"asking the compiler behind {one.title}")
        try:
            opinion = judges.ask(graph, one.delegate)
        except MobileSegError as error:  # one judge that is absent must not silence the others
            found[one.delegate] = str(error)
            continue
        found[one.delegate] = judges.agreement(graph, split(graph, find(one.delegate)), opinion)
    return found


def _judged(judged: "dict[str, Agreement | str]") -> list[str]:
    if not judged:
        return []
    text = ["", "judges: the real compilers on this machine"]
    for name, one in judged.items():
        if isinstance(one, str):
            text.append(f"  {name}: not asked: {one}")
            continue
        text.append(f"  {name}: {one.judge} agrees on {one.alike} of {one.operations} operations")
        text += [f"      {kind} {layer}: only {who} would take it" for kind, layer, who in one.differences]
        if one.partitions and one.partitions[0] != one.partitions[1]:
            text.append(f"      parts: {one.partitions[0]} by our rules, {one.partitions[1]} by the judge")
        text += [f"      {what}, estimated by the compiler: {value}" for what, value in one.estimates]
    return text


def _plain(judged: "dict[str, Agreement | str]") -> dict[str, Any]:
    return {
        name: {"not_asked": one} if isinstance(one, str) else vars(one) | {"share": one.share}
        for name, one in judged.items()
    }
