"""`mobile-seg eval`: how well a model file labels a dataset."""

import argparse
import inspect
import shlex

from mobile_seg import api
from mobile_seg.cli import options
from mobile_seg.cli.terminal import Progress, next_step, percent, say, say_json, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", metavar="ARTIFACT", help="a model file: .keras or .tflite")
    options.add_data(parser)
    parser.add_argument(
        "--split",
        default=inspect.signature(api.evaluate).parameters["split"].default,
        help="train or val (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; scores are fractions 0..1")


def run(args: argparse.Namespace) -> int:
    """Score the file and show IoU per class and mIoU."""
    with Progress() as progress:
        score = api.evaluate(args.artifact, data=args.data, split=args.split, progress=progress)
    from mobile_seg.verify.runners import require_manifest

    classes = require_manifest(args.artifact).classes
    if args.json:
        origin = {"artifact": args.artifact, "data": args.data, "split": args.split, "classes": list(classes)}
        say_json(origin | score.to_dict())
        return 0
    rows = [(name, percent(iou)) for name, iou in zip(classes, score.per_class, strict=True)]
    say(*table([*rows, ("", ""), ("mean", percent(score.miou))], header=("class", "IoU")))
    say(f"pixel accuracy {percent(score.pixel_accuracy)} over {score.pixels} labelled pixels of {args.split}")
    next_step(f"mobile-seg predict {shlex.quote(args.artifact)} YOUR_IMAGES --out predictions")
    return 0
