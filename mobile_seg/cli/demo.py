"""`mobile-seg demo`: the artifacts of a run in the browser, on the camera, a video or pictures."""

import argparse
import webbrowser
from pathlib import Path

from mobile_seg.cli import parsing
from mobile_seg.cli.media import images_in
from mobile_seg.cli.terminal import note, say
from mobile_seg.errors import UsageError

PORT = 8030
RUNS = "runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "run_folder",
        metavar="RUN",
        nargs="?",
        help=f"a run's folder, a folder of .tflite files, or one file (default: the newest run in {RUNS}/)",
    )
    parser.add_argument(
        "--port",
        type=parsing.whole_number("--port", low=0),
        default=PORT,
        metavar="N",
        help="port on loopback, 0 for any free one (default: %(default)s)",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser, only say the address")
    parser.add_argument(
        "--samples", metavar="DIR", help="folder of pictures to offer (default: street scenes, drawn at the start)"
    )
    parser.add_argument(
        "--packages", metavar="DIR", help="folder whose node_modules holds LiteRT.js (default: the page's own)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from mobile_seg.demo_server import address, open_server, site

    chosen = args.run_folder or newest_run(Path(RUNS))
    if chosen is None:
        note(f"no run with .tflite artifacts in {RUNS}/: drop a file into the page, or `mobile-seg quickstart` first")
    samples = images_in(args.samples) if args.samples else None
    contents = site(chosen, packages=args.packages, samples=samples)
    with open_server(contents, port=args.port) as server:
        where = address(server)
        try:
            say(f"{chosen or 'the page'} at {where}", "Ctrl-C stops it; nothing leaves this machine")
            if not args.no_browser and not webbrowser.open(where):
                note(f"no browser could be started; open {where} yourself")
            server.serve_forever()
        except KeyboardInterrupt:  # the way to end it, not a failure
            note("stopped")
    return 0


def newest_run(runs: Path) -> Path | None:
    """The run whose artifacts were written last; None if there is none.

    Raises:
        UsageError: if `runs` is no folder.
    """
    if runs.exists() and not runs.is_dir():
        raise UsageError(f"{runs} is not a folder; name the RUN to show.")
    dated = [(path.stat().st_mtime, path.parent.parent) for path in runs.glob("*/artifacts/*.tflite")]
    return max(dated)[1] if dated else None
