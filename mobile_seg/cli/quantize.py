"""`mobile-seg quantize`: from a trained float model to one that exports to int8."""

import argparse
import inspect
import shlex
from pathlib import Path

from mobile_seg import api
from mobile_seg.cli import options
from mobile_seg.cli.terminal import Progress, next_step, say

DEFAULTS = inspect.signature(api.quantize).parameters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a trained .keras model")
    options.add_data(parser)
    parser.add_argument("--out", metavar="DIR", help="folder of the result (default: the model's)")
    parser.add_argument("--ptq", action="store_true", help="set the ranges only, do not train (post-training)")
    options.add_qat_phase(parser)
    options.add_recipe(parser, api.QAT_RECIPE)
    options.add_schedule(parser, evaluate_every=DEFAULTS["evaluate_every"].default)


def run(args: argparse.Namespace) -> int:
    """Quantize and name the model's file."""
    folder = Path(args.out or Path(args.model).parent)
    # Without training there is no checkpoint to mind.
    resume = not args.ptq and options.checked_resume(folder, checkpoint="qat.checkpoint.npz", resume=args.resume)
    with Progress() as progress:
        path = api.quantize(
            args.model,
            data=args.data,
            folder=folder,
            recipe=None if args.ptq else options.qat_recipe(args),
            evaluate_every=args.evaluate_every,
            resume=resume,
            progress=progress,
        )
    say(f"model: {path}")
    model, data = shlex.quote(str(path)), shlex.quote(args.data)
    next_step(f"mobile-seg export {model} --data {data}", f"mobile-seg eval {model} --data {data}")
    return 0
