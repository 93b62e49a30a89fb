"""`mobile-seg run`: the main job."""

import argparse
import shlex
from pathlib import Path

from mobile_seg import job
from mobile_seg.api import FLOAT_RECIPE, QAT_RECIPE
from mobile_seg.cli import options, parsing
from mobile_seg.cli.terminal import Progress, megabytes, next_step, percent, say, table
from mobile_seg.report.results import Latency


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_data(parser)
    options.add_network(parser)
    options.add_run_folder(parser, runs=job.JobConfig.folder)
    options.add_float_phase(parser)
    options.add_qat_phase(parser)
    options.add_recipe(parser, FLOAT_RECIPE, QAT_RECIPE)
    options.add_form(
        parser, precision=",".join(job.JobConfig.exports), output=job.JobConfig.output, io=job.JobConfig.io
    )
    options.add_schedule(parser, evaluate_every=job.JobConfig.evaluate_every)
    parser.add_argument(
        "--threads",
        type=parsing.whole_numbers("--threads", "1,2"),
        default=job.JobConfig.threads,
        help=f"CPU threads to measure latency with (default: {parsing.listed(job.JobConfig.threads)})",
    )


def run(args: argparse.Namespace) -> int:
    """Run the job and show its results."""
    config = job.JobConfig(
        data=args.data,
        model=args.model,
        input_size=args.input,
        name=options.name_of_run(args),
        folder=args.runs_dir,
        float_recipe=options.float_recipe(args),
        qat_recipe=options.qat_recipe(args),
        options=options.network_options(args),
        exports=args.precision,
        output=args.output,
        io=args.io,
        threads=args.threads,
        evaluate_every=args.evaluate_every,
    )
    folder = Path(config.folder) / config.name
    resume = options.checked_resume(folder, checkpoint="*.checkpoint.npz", resume=args.resume)
    with Progress() as progress:
        outcome = job.run(config, command=args.command_line, resume=resume, progress=progress)
    show(outcome, data=config.data)
    return 0


def show(outcome: job.Outcome, *, data: str) -> None:
    """Print a finished job: accuracy and agreement, the artifacts, where the report is, what to do next."""
    results = outcome.results
    say(*table([(phase, percent(results.miou[phase])) for phase in ("float", "qat", "int8")], header=("", "mIoU")), "")
    rows = [
        (
            row.file,
            megabytes(row.size_bytes),
            percent(row.miou),
            percent(row.agreement),
            *(_total(row.latency_ms, threads) for threads in results.latency_ms),
        )
        for row in results.artifacts
    ]
    latency = [f"{threads} thread{'s' if threads != '1' else ''}" for threads in results.latency_ms]
    say(*table(rows, header=("artifact", "size", "mIoU", "agreement", *latency)), "")
    say(f"report:  {outcome.report}", f"results: {outcome.results_path}")
    int8 = next(row.file for row in results.artifacts if row.precision == "int8")
    artifact = shlex.quote(str(outcome.folder / "artifacts" / int8))
    next_step(
        f"open {shlex.quote(str(outcome.report))} in a browser",
        f"mobile-seg predict {artifact} YOUR_IMAGES --out predictions",
        f"mobile-seg eval {artifact} --data {shlex.quote(data)}",
    )


def _total(latency: Latency | None, threads: str) -> str:
    """An image's way through, pre- and post-processing included."""
    return "–" if latency is None else f"{sum(latency[threads].values()):.1f} ms"
