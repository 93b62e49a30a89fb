"""`mobile-seg quantize --engine tfmot`: its options, what does not go with them, and what it made."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mobile_seg.cli import options, parsing
from mobile_seg.cli.terminal import Progress, megabytes, next_step, percent, say, table
from mobile_seg.errors import UsageError

if TYPE_CHECKING:
    from mobile_seg.tfmot_engine import Measured, TfmotRecord

ENGINES = ("mobile-seg", "tfmot")
BUILT_IN = (
    *("scheme", "keep", "calibration", "ranges", "freeze_bn", "equalize", "correct_bias", "analyze", "max_drop"),
    *("evaluate_every", "resume"),
)
"""The arguments that TF-MOT has no use for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, after those of the built-in engine."""
    group = parser.add_argument_group("engine")
    group.add_argument(
        "--engine",
        type=parsing.one_of("--engine", ENGINES),
        default=ENGINES[0],
        help="mobile-seg: a .keras model to export; tfmot: TF-MOT on legacy Keras, which gives a measured .tflite and "
        'needs the extra: pip install "mobile-seg[tfmot]" (default: %(default)s)',
    )
    group.add_argument(
        "--sparsity",
        type=_share,
        metavar="SHARE",
        help="with tfmot: train while this share of each kernel is pruned to zero, then quantize post-training",
    )
    group.add_argument(
        "--clusters",
        type=parsing.whole_number("--clusters", low=2),
        metavar="N",
        help="with tfmot: train with at most N different values in each kernel, then quantize post-training",
    )
    parser.set_defaults(untouched={name: parser.get_default(name) for name in BUILT_IN})


def chosen(args: argparse.Namespace) -> bool:
    """Whether TF-MOT is the engine.

    Raises:
        UsageError: for options that do not go together.
    """
    asked = [f"--{name}" for name in ("sparsity", "clusters") if getattr(args, name) is not None]
    if args.engine != "tfmot":
        if asked:
            raise UsageError(f"{asked[0]} is done by TF-MOT; add --engine tfmot, or leave it out.")
        return False
    own = [f"--{name.replace('_', '-')}" for name, value in args.untouched.items() if getattr(args, name) != value]
    if own:
        raise UsageError(f"--engine tfmot takes no {', '.join(own)}: that is the built-in engine's; leave one out.")
    if len(asked) == 2:
        raise UsageError("--sparsity and --clusters exclude each other; give one of them.")
    if asked and args.ptq:
        raise UsageError(f"{asked[0]} needs training and --ptq does none; leave one out.")
    return True


def run(args: argparse.Namespace, folder: Path) -> int:
    """Quantize, and show what came out."""
    from mobile_seg import tfmot_engine

    with Progress() as progress:
        try:
            record = tfmot_engine.quantize_with_tfmot(
                args.model,
                data=args.data,
                folder=folder,
                recipe=None if args.ptq else options.qat_recipe(args),
                sparsity=args.sparsity,
                clusters=args.clusters,
                progress=progress,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("TF-MOT's training keeps no checkpoint; the same command starts over") from None
    _show(record)
    file, data = shlex.quote(str(record.path)), shlex.quote(args.data)
    next_step(
        f"mobile-seg eval {file} --data {data}",
        f"mobile-seg profile {file} --data {data}",
        f"mobile-seg predict {file} YOUR_IMAGES --out predictions",
    )
    return 0


def _show(record: "TfmotRecord") -> None:
    rows = [_row(record.path.name, record.file)]
    if record.dense is not None:
        rows.append(_row("the same, dense", record.dense))
    threads = [f"{count} thread{'' if count == '1' else 's'}" for count in record.file.latency_ms]
    say(*table(rows, header=("file", "size", "compressed", "zeros", "mIoU", *threads)))
    say(f"milliseconds, median of {record.host['runs']} runs on {record.host['cpu']}, {record.host['cores']} cores")
    if record.dense is not None and record.latency_ratio is not None:
        size = record.file.compressed_bytes / record.dense.compressed_bytes
        ratios = zip(threads, record.latency_ratio.values(), strict=True)
        times = ", ".join(f"{ratio:.2f} with {name}" for name, ratio in ratios)
        say(f"times the dense file's: compressed size {size:.2f}, latency {times}")
    say(f"{percent(record.agreement.argmax)} of the pixels as in TF-MOT's own graph")
    if record.unannotated:
        say(f"TF-MOT left in float: {', '.join(record.unannotated)}")
    say("", f"model: {record.path}")


def _row(name: str, file: "Measured") -> tuple[str, ...]:
    sizes = (megabytes(file.size_bytes), megabytes(file.compressed_bytes))
    return name, *sizes, percent(file.sparsity), percent(file.miou), *(f"{ms:.2f}" for ms in file.latency_ms.values())


def _share(text: str) -> float:
    value = parsing.number("--sparsity", high=1.0)(text)
    if value in (0.0, 1.0):
        raise UsageError(f"--sparsity {text}: give a share between 0 and 1, such as --sparsity 0.5.")
    return value
