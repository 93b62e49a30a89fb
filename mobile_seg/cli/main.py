"""`mobile-seg`: find the command, parse, run it, and turn what goes wrong into one line and an exit code.

Nothing here or in a command's module may import more than the standard library and light modules of
this package at the top: `--help` answers at once, and in an environment where nothing else is installed.
"""

import argparse
import contextlib
import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple, TextIO

from mobile_seg.cli.parsing import Parser, unknown
from mobile_seg.cli.quiet import quiet_libraries
from mobile_seg.errors import MobileSegError, UsageError

INTERRUPTED, BROKEN_PIPE = 130, 141
"""Exit codes: 128 + the number of the signal, as shells have it."""


class Command(NamedTuple):
    """Where a command lives, and what it does in one line. The module offers `add_arguments` and `run`."""

    module: str
    summary: str


COMMANDS = {
    "quickstart": Command("quickstart", "run the whole job on the built-in toy dataset, in minutes"),
    "run": Command("run", "the main job: train, quantize, export, verify, profile and report"),
    "train": Command("train", "train a network on a dataset"),
    "quantize": Command("quantize", "quantize a trained model, with training (QAT) or without (PTQ)"),
    "export": Command("export", "export a .keras model to TFLite, Core ML and ONNX, and verify each artifact"),
    "eval": Command(
        "evaluate", "score a model file (.keras, .tflite, .onnx, .mlpackage) on a dataset: IoU per class, mIoU"
    ),
    "predict": Command("predict", "paint what a model sees over images, folders and videos"),
    "check": Command("check", "tell what each delegate would do with a .tflite file, why not, and the fix"),
    "profile": Command("profile", "measure latency and memory of a .tflite file, here or on phones"),
    "compare": Command("compare", "say whether one model is faster than another, and by more than the noise"),
    "inspect": Command("inspect", "look into a model file, anybody's: tensors, operations, sizes, metadata, manifest"),
    "demo": Command("demo", "show a run's models in the browser: camera, video or pictures"),
    "bundle": Command("bundle", "put a run's artifacts and manifests into the Android, iOS or web app"),
    "models": Command("models", "list the networks, or draw one as its paper's figure"),
    "doctor": Command("doctor", "check the installation, and say how to mend it"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0, 1 (it failed) or 2 (it was misused)."""
    words = list(sys.argv[1:] if argv is None else argv)
    stderr = sys.stderr
    debug = "--debug" in words
    try:
        return _main(words, debug=debug)
    except KeyboardInterrupt as error:
        return _say(stderr, f"interrupted: {_way_on(error, words)}", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has closed it (`| head`). Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if debug:
            traceback.print_exc(file=stderr)
        return _say(stderr, f"error: {_message(error, debug=debug)}", getattr(error, "exit_code", 1))


def _main(words: list[str], *, debug: bool) -> int:
    try:
        args = _parse(words)
    except SystemExit as done:  # --help and --version
        sys.stdout.flush()
        return int(done.code or 0)
    # Before TensorFlow is loaded, here or in a process of ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if debug else "3")
    with quiet_libraries(enabled=not debug):
        code: int = args.run(args)
        sys.stdout.flush()
    return code


def _parse(words: list[str]) -> argparse.Namespace:
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        raise UsageError(unknown("command", name, list(COMMANDS)))
    parser = Parser(prog="mobile-seg", description="From labelled images to a segmentation model for phones.")
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    _add_debug(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chosen: argparse.ArgumentParser = parser
    for command, (module, summary) in COMMANDS.items():
        sub = commands.add_parser(command, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        _add_debug(sub)
        if command == name:  # the others' modules are not even imported
            implementation = importlib.import_module(f"mobile_seg.cli.{module}")
            implementation.add_arguments(sub)
            sub.set_defaults(run=implementation.run)
            chosen = sub
    options = [option for action in chosen._actions for option in action.option_strings]
    for word in words:
        if word == "--":
            break
        # Ahead of argparse, which would rather say that the option meant is missing.
        if word.startswith("--") and word.split("=")[0] not in options:
            raise UsageError(unknown("option", word.split("=")[0], options) + f" See `{chosen.prog} --help`.")
    args = parser.parse_args(words)
    args.command_line = shlex.join(["mobile-seg", *words])
    return args


def _add_debug(parser: argparse.ArgumentParser) -> None:
    help_text = "show tracebacks and what the libraries log"
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=help_text)


class _Version(argparse.Action):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import importlib.metadata

        try:
            version = importlib.metadata.version("mobile-seg")
        except importlib.metadata.PackageNotFoundError:
            raise UsageError("mobile-seg is not installed as a package; install it with: pip install .") from None
        sys.stdout.write(f"mobile-seg {version}\n")
        parser.exit()


def _message(error: Exception, *, debug: bool) -> str:
    if isinstance(error, MobileSegError):
        return str(error)
    hint = "" if debug else "; run it again with --debug for the traceback"
    reason = next(iter(str(error).strip().splitlines()), "no reason given")
    if isinstance(error, ImportError):
        return f"{reason}; `mobile-seg doctor` says what is missing and how to install it"
    return f"unexpected {type(error).__name__}: {reason}{hint}"


def _way_on(interruption: KeyboardInterrupt, words: list[str]) -> str:
    if str(interruption):  # training says where it stopped
        return str(interruption)
    if any(word in ("run", "train", "quantize") for word in words[:2]):
        return "the same command with --resume goes on from the last checkpoint"
    if "quickstart" in words[:2]:
        return "the same command goes on from the last checkpoint"
    return "no file is left half-written; give the same command again to start over"


def _say(stream: TextIO, line: str, code: int) -> int:
    with contextlib.suppress(OSError):  # if nobody listens, the exit code still tells
        print(line, file=stream, flush=True)
    return code
