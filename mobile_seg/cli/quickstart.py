"""`mobile-seg quickstart`: the main job on the built-in toy dataset."""

import argparse
from pathlib import Path

from mobile_seg import job
from mobile_seg.cli.run import show
from mobile_seg.cli.terminal import Progress, note, say
from mobile_seg.errors import CheckpointError

CHECKPOINTS = "*.checkpoint.npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--runs-dir", metavar="DIR", default=job.JobConfig.folder, help="folder of all runs (default: %(default)s)"
    )
    parser.add_argument("--fresh", action="store_true", help="train anew, even if an earlier quickstart can be resumed")


def run(args: argparse.Namespace) -> int:
    """Run the job, going on with what an earlier quickstart left, and show its results."""
    config = job.quickstart_config(args.runs_dir)
    folder = Path(config.folder) / config.name
    left = sorted(folder.glob(CHECKPOINTS))
    if args.fresh:
        for checkpoint in left:
            checkpoint.unlink()
    resume = bool(left) and not args.fresh
    if resume:
        note(f"going on with the training in {folder}; --fresh trains anew")
    try:
        with Progress() as progress:
            outcome = job.run(config, command=args.command_line, resume=resume, progress=progress)
    except CheckpointError as error:
        raise CheckpointError(f"{error}. Here: mobile-seg quickstart --fresh") from error
    show(outcome, data=config.data)
    say("  mobile-seg run --data YOUR_DATASET.yaml --model mobile_spinenet_s49 --input 256x352")
    return 0
