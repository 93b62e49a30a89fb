"""`mobile-seg train`: the float phase alone."""

import argparse
import inspect
import shlex
from pathlib import Path

from mobile_seg import api, job
from mobile_seg.cli import options
from mobile_seg.cli.terminal import Progress, next_step, say

DEFAULTS = inspect.signature(api.train).parameters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_data(parser)
    options.add_network(parser)
    options.add_run_folder(parser, runs=job.JobConfig.folder)
    options.add_float_phase(parser)
    options.add_recipe(parser, api.FLOAT_RECIPE)
    options.add_schedule(parser, evaluate_every=DEFAULTS["evaluate_every"].default)
    parser.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16, which pays on a GPU")


def run(args: argparse.Namespace) -> int:
    """Train and name the model's file."""
    folder = Path(args.runs_dir) / options.name_of_run(args)
    resume = options.checked_resume(folder, checkpoint="float.checkpoint.npz", resume=args.resume)
    with Progress() as progress:
        path = api.train(
            args.data,
            model=args.model,
            input_size=args.input,
            folder=folder,
            recipe=options.float_recipe(args),
            options=options.network_options(args),
            evaluate_every=args.evaluate_every,
            mixed_precision=args.mixed_precision,
            resume=resume,
            progress=progress,
        )
    say(f"model: {path}", f"curves: tensorboard --logdir {shlex.quote(str(folder))}")
    model, data = shlex.quote(str(path)), shlex.quote(args.data)
    next_step(
        f"mobile-seg quantize {model} --data {data}",
        f"mobile-seg export {model} --data {data} --precision float16",
    )
    return 0
