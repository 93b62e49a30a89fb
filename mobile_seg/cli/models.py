"""`mobile-seg models`: the networks, with their counts beside the published ones."""

import argparse
from typing import Any

from mobile_seg.cli.terminal import next_step, say, say_json, table
from mobile_seg.models.entry import Entry, Published
from mobile_seg.models.registry import ENTRIES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Build each network as its paper measured it, count, and list."""
    records = [describe(entry, published) for entry in ENTRIES for published in entry.published]
    if args.json:
        say_json(records)
        return 0
    say(*table([_row(record) for record in records], header=("name", "head", "input", "classes", "params", "MACs")))
    say("", "in brackets what the paper states; input size and classes are the paper's, any other can be built")
    mobile = next(entry.name for entry in ENTRIES if entry.mobile)
    next_step(f"mobile-seg run --data YOUR_DATASET.yaml --model {mobile} --input 256x352")
    return 0


def describe(entry: Entry, published: Published) -> dict[str, Any]:
    """Parameters and multiply-adds of a network built in its paper's setting, beside the published ones."""
    from mobile_seg.models.cost import count
    from mobile_seg.models.registry import build

    network = build(
        entry.name,
        input_size=published.input_size,
        classes=published.classes,
        head=published.head,
        **published.options,
    )
    cost = count(network)
    stated = {"paper_params": published.params, "paper_macs": published.macs}
    return {
        "name": entry.name,
        "family": entry.family,
        "head": published.head,
        "input_size": list(published.input_size),
        "classes": published.classes,
        "options": dict(published.options),
        "params": cost.params,
        "macs": cost.macs,
        "source": f"{entry.paper}, {published.source}",
        **{key: value for key, value in stated.items() if value is not None},
    }


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    def both(key: str, scale: float, unit: str) -> str:
        paper = f" ({record['paper_' + key] / scale:.2f})" if "paper_" + key in record else ""
        return f"{record[key] / scale:.2f}{paper} {unit}"

    height, width = record["input_size"]
    return (
        record["name"],
        record["head"],
        f"{height}x{width}",
        str(record["classes"]),
        both("params", 1e6, "M"),
        both("macs", 1e9, "G"),
    )
