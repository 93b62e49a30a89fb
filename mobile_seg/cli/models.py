"""`mobile-seg models`: the networks with their counts beside the published ones, and any of them as a picture."""

import argparse
import dataclasses
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg.cli import parsing
from mobile_seg.cli.terminal import next_step, say, say_json, table
from mobile_seg.errors import UsageError, choose
from mobile_seg.models.counts import PAPERS, Counted, in_short, recorded, setting
from mobile_seg.models.entry import Entry, Published
from mobile_seg.models.registry import find
from mobile_seg.models.zoo import ENTRIES

if TYPE_CHECKING:
    from mobile_seg.models.structure import Structure

SUFFIXES = (".svg", ".png")
_OF_ONE = ("input", "head", "classes", "output_stride", "out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="draw this network (default: list all)")
    parser.add_argument("--json", action="store_true", help="print JSON: the list, or the network's blocks")
    group = parser.add_argument_group("drawing", "What is not given is as in the network's paper.")
    group.add_argument("--input", type=parsing.size, metavar="HxW", help="input size, such as 256x352")
    group.add_argument("--head", metavar="X", help="head on top of the backbone")
    group.add_argument(
        "--classes", type=parsing.whole_number("--classes", low=2), metavar="N", help="number of classes"
    )
    group.add_argument(
        "--output-stride", type=parsing.whole_number("--output-stride"), metavar="N", help="stride of the last features"
    )
    group.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help=f"a file that ends in {' or '.join(SUFFIXES)} (default: NAME.svg)",
    )


def run(args: argparse.Namespace) -> int:
    """List the networks, or draw one."""
    if args.name is not None:
        return _draw(args)
    given = [option for option in _OF_ONE if getattr(args, option) is not None]
    if given:
        asked = f"--{given[0].replace('_', '-')}"
        raise UsageError(f"{asked} is for drawing one network: name it, as in `mobile-seg models {ENTRIES[0].name}`.")
    if args.json:
        say_json([describe(counted) for counted in recorded()])
        return 0
    say(*_listing(recorded()))
    mobile = next(entry.name for entry in ENTRIES if entry.mobile)
    next_step(
        f"mobile-seg models {mobile} -o {mobile}.svg",
        f"mobile-seg run --data YOUR_DATASET.yaml --model {mobile} --input 256x352",
    )
    return 0


def describe(counted: Counted) -> dict[str, Any]:
    """Parameters and multiply-adds of a network in its paper's setting, beside the published ones."""
    entry, published = counted.entry, counted.published
    stated = {"paper_params": published.params, "paper_macs": published.macs}
    return {
        "name": entry.name,
        "family": entry.family,
        "head": published.head,
        "input_size": list(published.input_size),
        "classes": published.classes,
        "options": dict(published.options),
        "params": counted.params,
        "macs": counted.macs,
        "source": f"{entry.paper}, {published.source}" if published.source else entry.paper,
        **{key: value for key, value in stated.items() if value is not None},
    }


def _listing(every: Iterable[Counted]) -> list[str]:
    """One aligned table, its rows under the papers they come from."""
    every = tuple(every)
    papers = [(paper, list(found)) for paper, found in groupby(every, key=lambda counted: counted.entry.paper)]
    header = ("", "head", "input", "classes", "params", "paper", "MACs", "paper")
    head, *rows = table([_row(counted) for counted in every], header=header)
    ends = (in_short(counted.published.options) for counted in every)
    lines, left = [head], (f"{row}  {end}".rstrip() for row, end in zip(rows, ends, strict=True))
    for paper, found in papers:
        lines += ["", f"{PAPERS[paper]} ({paper})", *(next(left) for _ in found)]
    return [*lines, "", "input size, classes and options are the paper's; any others can be built"]


def _row(counted: Counted) -> tuple[str, ...]:
    published, entry = counted.published, counted.entry
    height, width = published.input_size
    return (
        f"  {entry.name}",
        published.head,
        f"{height}x{width}",
        str(published.classes),
        *_both(counted.params, published.params, 1e6, "M"),
        *_both(counted.macs, published.macs, 1e9, "G"),
    )


def _both(ours: int, paper: float | None, scale: float, unit: str) -> tuple[str, str]:
    return f"{ours / scale:.2f} {unit}", "" if paper is None else f"{paper / scale:g} {unit}"


def _draw(args: argparse.Namespace) -> int:
    entry = find(args.name)
    out = args.out or Path(f"{entry.name}.svg")
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out {out} must end in {' or '.join(SUFFIXES)}: the picture's form follows from it.")
    if args.head is not None:
        choose("--head", args.head, entry.heads)
    shown = setting(entry, args.head)
    network = _structure(entry, shown, args)
    from mobile_seg.report.network_picture import draw, facts, png, svg

    classes = f"{args.classes or shown.classes} classes"
    line = facts(network, f"{shown.head} head", classes, in_short(_options(shown, args)))
    if args.json:
        say_json(dataclasses.asdict(network))
        if args.out is None:
            return 0
    drawing = draw(network, title=entry.name, facts=line)
    from mobile_seg.files import write_bytes

    write_bytes(out, png(drawing) if out.suffix.lower() == ".png" else svg(drawing).encode("utf-8"))
    if not args.json:
        outputs = [output for block in network.blocks for output in block.outputs]
        say(f"{entry.name}: {line}")
        say(f"{len(network.blocks)} blocks; gives {', '.join('x'.join(map(str, one.shape)) for one in outputs)}")
        say(str(out))
    return 0


def _structure(entry: Entry, shown: Published, args: argparse.Namespace) -> "Structure":
    from mobile_seg.models.registry import build
    from mobile_seg.models.structure import structure
    from mobile_seg.models.weightless import weightless

    with weightless():
        network = build(
            entry.name,
            input_size=args.input or shown.input_size,
            classes=args.classes or shown.classes,
            head=shown.head,
            **_options(shown, args),
        )
    return structure(network)


def _options(shown: Published, args: argparse.Namespace) -> dict[str, Any]:
    return dict(shown.options) | ({} if args.output_stride is None else {"output_stride": args.output_stride})
