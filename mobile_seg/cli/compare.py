"""`mobile-seg compare`: is one model faster than another, and by more than the noise?"""

import argparse
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from mobile_seg import api
from mobile_seg.cli import profile_options
from mobile_seg.cli.terminal import say, say_json, table
from mobile_seg.errors import UsageError

if TYPE_CHECKING:
    from mobile_seg.profiling.comparison import Comparison

DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(api.profile).parameters.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = "a .tflite file that was profiled, a history (.jsonl), or what `profile --json` printed (.json)"
    parser.add_argument("first", metavar="A", help=what)
    parser.add_argument("second", metavar="B", help="another")
    parser.add_argument(
        "--measure", action="store_true", help="measure two .tflite files now, side by side, process by process"
    )
    profile_options.add_measuring(parser, threads=DEFAULTS["threads"], runs=DEFAULTS["runs"])
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Compare and show ratios with their intervals."""
    from mobile_seg.profiling.comparison import compare, load

    first, second = Path(args.first), Path(args.second)
    if not args.measure and (options := profile_options.given(args)):
        raise UsageError(
            f"{options[0]} goes with --measure, which measures both now; without it, what was kept is read"
        )
    found = _measured(args, first, second) if args.measure else compare(load(first), load(second))
    if args.json:
        say_json({"first": str(first), "second": str(second), "comparisons": [one.to_dict() for one in found]})
        return 0
    say(*lines(found))
    return 0


def lines(found: "list[Comparison]") -> list[str]:
    """The comparisons as text."""
    rows = [
        (
            f"{one.device}, {one.runner}, {one.delegate}",
            str(one.threads),
            f"{one.first_ms:.2f}",
            f"{one.second_ms:.2f}",
            f"{one.ratio:.3f}",
            f"{one.interval[0]:.3f}-{one.interval[1]:.3f}",
            one.verdict,
        )
        for one in found
    ]
    header = ("measured on", "threads", "A ms", "B ms", "A/B", "95% interval", "verdict")
    how = {one.how for one in found}
    note = (
        "measured apart: what changed on the device in between is in the ratio too; --measure takes turns"
        if how == {"measured apart"}
        else "measured side by side, process by process"
    )
    return [*table(rows, header=header), note]


def _measured(args: argparse.Namespace, first: Path, second: Path) -> "list[Comparison]":
    from mobile_seg.artifact import kind_of
    from mobile_seg.profiling.comparison import side_by_side

    for model in (first, second):
        if kind_of(model) != "tflite":
            raise UsageError(f"{model} is not a .tflite file, the only format that is measured; export it first")
    choice = profile_options.chosen(args)
    if len(choice.devices) != 1:
        raise UsageError("--measure takes one device; name it with --device adb:SERIAL")
    return side_by_side(first, second, device=choice.devices[0], runner=choice.runner, plan=choice.plan)
