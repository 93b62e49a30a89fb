"""`mobile-seg quantize`: from a trained float model to one that exports to integers, or a ranking of its layers."""

import argparse
import inspect
import json
import math
import shlex
from pathlib import Path
from typing import Any

from mobile_seg import api
from mobile_seg.cli import options, parsing, tfmot
from mobile_seg.cli.terminal import Progress, next_step, percent, say, table
from mobile_seg.errors import UsageError
from mobile_seg.quantization.scheme import SCHEMES
from mobile_seg.quantizing import RAISED, SENSITIVITY

DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(api.quantize).parameters.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a trained .keras model")
    options.add_data(parser)
    parser.add_argument("--out", metavar="DIR", help="folder of the result (default: the model's)")
    parser.add_argument("--ptq", action="store_true", help="set the ranges only, do not train (post-training)")
    _add_engine(parser)
    parser.add_argument(
        "--analyze",
        action="store_true",
        help=f"do not quantize: rank the layers by the damage each does alone, and write {SENSITIVITY}",
    )
    parser.add_argument(
        "--max-drop",
        type=parsing.number("--max-drop", high=100.0),
        metavar="POINTS",
        help="raise the fewest layers to 16 bits or float that keep the mIoU within POINTS of the float model's; "
        "the search quantizes post-training, training then goes on from what it found",
    )
    options.add_qat_phase(parser)
    options.add_recipe(parser, api.QAT_RECIPE)
    options.add_schedule(parser, evaluate_every=DEFAULTS["evaluate_every"])
    tfmot.add_arguments(parser)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("quantization")
    group.add_argument(
        "--scheme",
        type=parsing.one_of("--scheme", tuple(SCHEMES)),
        default=DEFAULTS["scheme"],
        help=f"{'; '.join(f'{name}: {scheme.about}' for name, scheme in SCHEMES.items())} (default: %(default)s)",
    )
    group.add_argument(
        "--keep",
        type=_kept,
        nargs="+",
        action="extend",
        metavar="LAYER=KIND",
        help="layers to leave in `float`, or with `int16x8`",
    )
    for name, argument, text in (
        ("calibration", "method", "how ranges are chosen from images; an unknown name lists them"),
        ("ranges", "ranges", "how ranges go on in training; an unknown name lists them"),
    ):
        default = DEFAULTS[argument]
        group.add_argument(f"--{name}", default=default, metavar="METHOD", help=f"{text} (default: {default})")
    group.add_argument(
        "--freeze-bn",
        type=parsing.number("--freeze-bn", high=1.0),
        default=DEFAULTS["freeze_batch_norm"],
        metavar="SHARE",
        help="share of the training steps in which batch normalization follows the batches (default: %(default)s)",
    )
    group.add_argument("--equalize", action="store_true", help="first even out the channels of neighbouring layers")
    group.add_argument("--correct-bias", action="store_true", help="take the mean error of rounding out of the biases")


def _kept(text: str) -> tuple[str, str]:
    """`head_conv=float` → its two sides."""
    layer, equals, kind = text.partition("=")
    if not (layer and equals and kind):
        raise UsageError(f"--keep {text!r} is not LAYER=KIND; write it like --keep head_logits=float.")
    return layer, kind


def run(args: argparse.Namespace) -> int:
    """Quantize and name the model's file; or rank."""
    folder = Path(args.out or Path(args.model).parent)
    if tfmot.chosen(args):
        return tfmot.run(args, folder)
    how: dict[str, Any] = {
        "scheme": args.scheme,
        "keep": dict(args.keep) if args.keep else None,
        "method": args.calibration,
        "equalize": args.equalize,
        "correct_bias": args.correct_bias,
    }
    if args.analyze:
        return _analyze(args, folder, how)
    # Without training there is no checkpoint to mind.
    resume = not args.ptq and options.checked_resume(folder, checkpoint="qat.checkpoint.npz", resume=args.resume)
    with Progress() as progress:
        path = api.quantize(
            args.model,
            data=args.data,
            folder=folder,
            recipe=None if args.ptq else options.qat_recipe(args),
            ranges=args.ranges,
            max_drop=args.max_drop,
            freeze_batch_norm=args.freeze_bn,
            evaluate_every=args.evaluate_every,
            resume=resume,
            progress=progress,
            **how,
        )
    if args.max_drop is not None:
        _show_raised(folder / RAISED)
    say(f"model: {path}")
    model, data = shlex.quote(str(path)), shlex.quote(args.data)
    next_step(f"mobile-seg export {model} --data {data}", f"mobile-seg eval {model} --data {data}")
    return 0


def _analyze(args: argparse.Namespace, folder: Path, how: dict[str, Any]) -> int:
    if args.max_drop is not None:
        raise UsageError("--analyze only ranks and --max-drop quantizes; give one of them.")
    with Progress() as progress:
        ranking = api.analyze(args.model, data=args.data, folder=folder, progress=progress, **how)
    rows = [
        (
            damage.layer,
            *(_decibel(db) for db in (damage.sqnr_db, damage.weights_sqnr_db, damage.activations_sqnr_db)),
            percent(damage.disagreement),
            damage.raised or "–",
        )
        for damage in ranking
    ]
    say(*table(rows, header=("layer", "SQNR", "weights", "activations", "pixels moved", "raise to")), "")
    say(f"ranking: {folder / SENSITIVITY}")
    model, data = shlex.quote(str(args.model)), shlex.quote(args.data)
    next_step(f"mobile-seg quantize {model} --data {data} --max-drop 0.5")
    return 0


def _decibel(value: float) -> str:
    return "–" if value == math.inf else f"{value:.1f} dB"


def _show_raised(path: Path) -> None:
    """What was raised, and how far the model now is from the float one."""
    record = json.loads(path.read_text(encoding="utf-8"))
    keep = record["keep"]
    if keep:
        say(*table(sorted(keep.items()), header=("raised layer", "to")), "")
    drop = 100.0 * (record["float_miou"] - record["miou"])
    say(
        f"{len(keep)} layer{'' if len(keep) == 1 else 's'} raised: "
        f"mIoU {percent(record['miou'])}, {drop:+.2f} points below the float model's "
        f"{percent(record['float_miou'])} on val ({record['max_drop']:g} allowed)"
    )
