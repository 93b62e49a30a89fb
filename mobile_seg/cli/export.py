"""`mobile-seg export`: artifacts for phones, each verified against the model it was made from."""

import argparse
import inspect
import shlex
from pathlib import Path

from mobile_seg import api
from mobile_seg.cli import options, parsing
from mobile_seg.cli.terminal import Progress, megabytes, next_step, note, percent, say, table
from mobile_seg.converters.options import DELEGATES, IO_TYPES, PRECISIONS, TARGETS
from mobile_seg.files import size_of
from mobile_seg.manifest import LAYOUTS, OUTPUT_KINDS

DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(api.export).parameters.items()}

_FORMS = (
    ("to", TARGETS, "formats"),
    ("precision", PRECISIONS, "numbers inside"),
    ("output", OUTPUT_KINDS, "what the artifact gives"),
    ("io", IO_TYPES, "what it takes"),
    ("layout", LAYOUTS, "of image and logits, for ONNX"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a .keras model, as train or quantize left it")
    options.add_data(parser, what="the dataset's YAML; its images calibrate and verify the artifacts")
    for name, accepted, text in _FORMS:
        default = DEFAULTS[name] or "a quantized model's own, int8 of a float model"
        parser.add_argument(
            f"--{name}",
            type=parsing.some_of(f"--{name}", accepted),
            default=None if DEFAULTS[name] is None else (DEFAULTS[name],),
            metavar="A,B",
            help=f"{text}: one or several of {', '.join(accepted)} (default: {default})",
        )
    parser.add_argument(
        "--target",
        type=parsing.some_of("--target", DELEGATES),
        metavar="A,B",
        help=f"write what these refuse otherwise, without changing a number: one or several of {', '.join(DELEGATES)}; "
        "one .tflite file each (default: the graph as it is)",
    )
    parser.add_argument("--input", type=parsing.size, metavar="HxW", help="input size (default: the model's own)")
    parser.add_argument(
        "--images",
        type=parsing.whole_number("--images"),
        metavar="N",
        help="verify on so many validation images, spread evenly (default: all)",
    )
    parser.add_argument("--out", metavar="DIR", help="folder of the artifacts (default: artifacts, beside the model)")
    parser.add_argument("--force", action="store_true", help="write an artifact that does not follow the model, too")


def run(args: argparse.Namespace) -> int:
    """Export every combination that makes sense and show how closely each follows the model."""
    with Progress() as progress:
        exports = api.export_all(
            args.model,
            data=args.data,
            folder=Path(args.out or Path(args.model).parent / "artifacts"),
            to=args.to,
            precision=args.precision or (None,),
            output=args.output,
            io=args.io,
            layout=args.layout,
            target=args.target or (None,),
            input_size=args.input,
            images=args.images,
            force=args.force,
            progress=progress,
        )
    rows = [
        (
            str(file.path),
            megabytes(size_of(file.path)),
            percent(file.agreement.argmax),
            "–" if file.agreement.psnr_db is None else f"{file.agreement.psnr_db:.1f} dB",
            str(len(file.conversions)),
        )
        for file in exports.files
    ]
    say(*table(rows, header=("artifact", "size", "agreement", "PSNR", "conversions")))
    reasons = {conversion.reason for file in exports.files for conversion in file.conversions}
    say(*(f"converted inside because: {reason}" for reason in sorted(reasons)))
    for file in exports.files:
        say(*(f"{file.path.name}: {line}" for line in (file.fit.lines if file.fit else ())))
    for reason in exports.refused:
        note(f"left out: {reason}")
    _say_next(exports.files[0].path, args.data)
    return 0


def _say_next(first: Path, data: str) -> None:
    artifact = shlex.quote(str(first))
    commands = [f"mobile-seg eval {artifact} --data {shlex.quote(data)}"]
    if first.suffix == ".tflite":
        commands.append(f"mobile-seg profile {artifact} --data {shlex.quote(data)}")
    next_step(*commands, f"mobile-seg predict {artifact} YOUR_IMAGES --out predictions")
