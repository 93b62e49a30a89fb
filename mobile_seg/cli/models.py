"""`mobile-seg models`: the networks, with their counts beside the published ones."""

import argparse
from typing import Any

from mobile_seg.cli.terminal import next_step, say, say_json, table
from mobile_seg.models.registry import ENTRIES, Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Build each network as its paper measured it, count, and list."""
    records = [describe(entry) for entry in ENTRIES]
    if args.json:
        say_json(records)
        return 0
    say(*table([_row(record) for record in records], header=("name", "task", "input", "classes", "params", "MACs")))
    say("", "in brackets what the paper states; input size and classes are the paper's, any other can be trained")
    next_step(f"mobile-seg run --data YOUR_DATASET.yaml --model {ENTRIES[0].name} --input 256x352")
    return 0


def describe(entry: Entry) -> dict[str, Any]:
    """An entry with its parameters and multiply-adds, counted on the network built in the paper's setting."""
    from mobile_seg.models.cost import count
    from mobile_seg.models.registry import build

    network = build(
        entry.name, input_size=entry.paper_input_size, classes=entry.paper_classes, aspp_rates=entry.paper_rates
    )
    cost = count(network)
    published = {"paper_params": entry.paper_params, "paper_macs": entry.paper_macs}
    return {
        "name": entry.name,
        "family": entry.family,
        "task": entry.task,
        "input_size": list(entry.paper_input_size),
        "classes": entry.paper_classes,
        "params": cost.params,
        "macs": cost.macs,
        **{key: value for key, value in published.items() if value is not None},
    }


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    def both(key: str, scale: float, unit: str) -> str:
        paper = f" ({record['paper_' + key] / scale:.2f})" if "paper_" + key in record else ""
        return f"{record[key] / scale:.2f}{paper} {unit}"

    height, width = record["input_size"]
    size = f"{height}x{width}"
    return (
        record["name"],
        record["task"],
        size,
        str(record["classes"]),
        both("params", 1e6, "M"),
        both("macs", 1e9, "G"),
    )
