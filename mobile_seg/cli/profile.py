"""`mobile-seg profile`: latency and memory of a .tflite file on this machine."""

import argparse
import inspect
import itertools
import shlex
from typing import Any

from mobile_seg import api
from mobile_seg.cli import options, parsing
from mobile_seg.cli.terminal import megabytes, next_step, say, say_json, table
from mobile_seg.measurements import PROFILE_IMAGES

DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(api.profile).parameters.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", metavar="ARTIFACT", help="a .tflite file")
    images = parser.add_mutually_exclusive_group(required=True)
    some = f"; the first {PROFILE_IMAGES} images are used"
    options.add_data(images, required=False, what=f"a dataset's YAML{some} of its validation split")
    images.add_argument("--images", metavar="DIR", help=f"a folder of images{some}")
    parser.add_argument(
        "--threads",
        type=parsing.whole_numbers("--threads", "1,2"),
        default=DEFAULTS["threads"],
        help=f"CPU threads (default: {parsing.listed(DEFAULTS['threads'])})",
    )
    parser.add_argument(
        "--runs",
        type=parsing.whole_number("--runs"),
        metavar="N",
        default=DEFAULTS["runs"],
        help="measured runs per thread count (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with every sample")


def run(args: argparse.Namespace) -> int:
    """Measure and show medians and 95th percentiles."""
    profile = api.profile(args.artifact, images=_images(args), threads=args.threads, runs=args.runs)
    if args.json:
        say_json(profile.to_dict())
        return 0
    median, p95 = profile.latency_ms, profile.latency_p95_ms
    stages = list(next(iter(median.values())))
    rows = [
        (threads, *(f"{median[threads][stage]:.2f} ({p95[threads][stage]:.2f})" for stage in stages))
        for threads in median
    ]
    say(*table(rows, header=("threads", *stages)))
    say(f"milliseconds, median (95th percentile) of {profile.runs} runs on {profile.cpu}, {profile.cores} cores")
    say(f"peak memory {megabytes(profile.peak_memory_bytes)}")
    if args.data:
        next_step(f"mobile-seg eval {shlex.quote(args.artifact)} --data {shlex.quote(args.data)}")
    else:
        next_step(f"mobile-seg predict {shlex.quote(args.artifact)} {shlex.quote(args.images)} --out predictions")
    return 0


def _images(args: argparse.Namespace) -> list[Any]:
    from mobile_seg.cli.media import images_in
    from mobile_seg.data.description import load_dataset
    from mobile_seg.data.readers import read_image

    found = [pair.image for pair in load_dataset(args.data).val] if args.data else images_in(args.images)
    return [read_image(path) for path in itertools.islice(found, PROFILE_IMAGES)]
