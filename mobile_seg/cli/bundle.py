"""`mobile-seg bundle`: a run's artifacts put into one of the apps."""

import argparse
from pathlib import Path

from mobile_seg.bundling import APPS
from mobile_seg.cli import parsing
from mobile_seg.cli.terminal import next_step, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run_folder", metavar="RUN", help="a run's folder, a folder of artifacts, or one artifact")
    parser.add_argument(
        "--app", required=True, type=parsing.one_of("--app", tuple(APPS)), metavar="APP", help=", ".join(APPS)
    )
    parser.add_argument("--to", metavar="DIR", help="the app's folder (default: the one of its name, here)")


def run(args: argparse.Namespace) -> int:
    """Put them there and say which."""
    from mobile_seg.bundling import bundle
    from mobile_seg.web_page import install_line

    done = bundle(args.run_folder, app=args.app, folder=args.to)
    say(f"{len(done.models)} model{'s' if len(done.models) != 1 else ''} in {done.folder}:")
    say(*(f"  {name}" for name in done.models))
    if done.removed:
        say("no longer there:", *(f"  {name}" for name in done.removed))
    if done.left_out:
        say("left out, this app does not run them:", *(f"  {name}" for name in done.left_out))
    if args.app == "web":
        next_step(install_line(Path(args.to or APPS["web"].folder)), f"mobile-seg demo {args.run_folder}")
    return 0
