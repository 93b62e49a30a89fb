"""`mobile-seg export`: TFLite files, each verified against the model it was made from."""

import argparse
import inspect
import shlex
from pathlib import Path

from mobile_seg import api
from mobile_seg.cli import options
from mobile_seg.cli.terminal import Progress, megabytes, next_step, percent, say, table

DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(api.export).parameters.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a .keras model, as train or quantize left it")
    options.add_data(parser, what="the dataset's YAML; its images calibrate and verify the files")
    options.add_form(parser, precision=DEFAULTS["precision"], output=DEFAULTS["output"], io=DEFAULTS["io"])
    parser.add_argument("--out", metavar="DIR", help="folder of the files (default: artifacts, beside the model)")
    parser.add_argument("--force", action="store_true", help="write a file that does not follow the model, too")


def run(args: argparse.Namespace) -> int:
    """Export one file per precision and show how closely each follows the model."""
    folder = Path(args.out or Path(args.model).parent / "artifacts")
    with Progress() as progress:
        exported = [
            api.export(
                args.model,
                data=args.data,
                folder=folder,
                precision=precision,
                output=args.output,
                io=args.io,
                force=args.force,
                progress=progress,
            )
            for precision in args.precision or (None,)
        ]
    rows = [
        (
            str(file.path),
            megabytes(file.path.stat().st_size),
            percent(file.agreement.argmax),
            "–" if file.agreement.psnr_db is None else f"{file.agreement.psnr_db:.1f} dB",
            str(len(file.conversions)),
        )
        for file in exported
    ]
    say(*table(rows, header=("artifact", "size", "agreement", "PSNR", "conversions")))
    reasons = {conversion.reason for file in exported for conversion in file.conversions}
    say(*(f"converted inside because: {reason}" for reason in sorted(reasons)))
    artifact = shlex.quote(str(exported[0].path))
    next_step(
        f"mobile-seg eval {artifact} --data {shlex.quote(args.data)}",
        f"mobile-seg profile {artifact} --data {shlex.quote(args.data)}",
        f"mobile-seg predict {artifact} YOUR_IMAGES --out predictions",
    )
    return 0
