"""`mobile-seg profile`: latency and memory of a .tflite file, here and on phones."""

import argparse
import inspect
import itertools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg import api
from mobile_seg.cli import options, profile_options
from mobile_seg.cli.terminal import Progress, megabytes, next_step, note, say, say_json, table
from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.measurements import PROFILE_IMAGES

if TYPE_CHECKING:
    from mobile_seg.profiling.measurement import DeviceState, Measurement
    from mobile_seg.profiling.operations.records import OperationProfile
    from mobile_seg.profiling.operations.roofline import Roofline
    from mobile_seg.profiling.session import Failure

DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(api.profile).parameters.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", metavar="ARTIFACT", help="a .tflite file")
    images = parser.add_mutually_exclusive_group()
    some = f"; the first {PROFILE_IMAGES} images are used"
    what = "time pre- and post-processing too, on this machine, with"
    options.add_data(images, required=False, what=f"{what} a dataset's YAML{some} of its validation split")
    images.add_argument("--images", metavar="DIR", help=f"{what} a folder of images{some}")
    profile_options.add_measuring(parser, threads=DEFAULTS["threads"], runs=DEFAULTS["runs"])
    parser.add_argument(
        "--operations",
        action="store_true",
        help="where the time goes, by operation, and how far each is from the machine's limit; on a phone with "
        "--runner benchmark_model, which tells no limits, or c",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--history", metavar="FILE", help="keep the measurements there (default: ARTIFACT.profiles.jsonl)"
    )
    group.add_argument("--no-history", action="store_true", help="keep them nowhere")
    parser.add_argument("--json", action="store_true", help="print JSON, with every sample")


def run(args: argparse.Namespace) -> int:
    """Measure and show; with images stage by stage, without them the model alone, on any device."""
    if args.operations:
        return _operations(args)
    return _stages(args) if args.data or args.images else _model(args)


def _model(args: argparse.Namespace) -> int:
    from mobile_seg.profiling.history import append, history_of
    from mobile_seg.profiling.session import profile_model

    model = Path(args.artifact)
    choice = profile_options.chosen(args)
    history = None if args.no_history else Path(args.history or history_of(model))
    with Progress() as progress:
        outcome = profile_model(
            model,
            devices=choice.devices,
            runner=choice.runner,
            plan=choice.plan,
            keep=None if history is None else lambda measurement: append(history, measurement),
            tell=progress if len(choice.devices) == 1 else None,
        )
    if args.json:
        failures = [
            {"device": one.device, "delegate": one.delegate, "threads": one.threads} | {"error": str(one.error)}
            for one in outcome.failures
        ]
        say_json({"measurements": [one.to_dict() for one in outcome.measurements], "failures": failures})
    elif outcome.measurements:
        say(*lines(outcome.measurements))
        if history is not None:
            say(f"kept in {history}")
    if outcome.failures:
        return _refuse(outcome.failures, measured=bool(outcome.measurements))
    if not args.json:
        next_step(f"mobile-seg compare {shlex.quote(args.artifact)} OTHER.tflite")
    return 0


def lines(measurements: "tuple[Measurement, ...]") -> list[str]:
    """The measurements as text, device by device."""
    shown = []
    for label, group in itertools.groupby(measurements, key=lambda one: one.device.label):
        several = list(group)
        first = several[0]
        rows = [_row(one) for one in several]
        header = ("delegate", "threads", "median", "95% interval", "p95", "first run", "init", "memory", "what ran")
        shown += [f"{label}, {first.device.system}, {first.device.abi}, {first.device.cores} cores; {first.runner}"]
        shown += table(rows, header=header)
        shown += [f"  {line}" for one in several for line in _remarks(one)]
        shown += [_state_line("before", first.before), _state_line("after", several[-1].after), ""]
    return [*shown, "times in milliseconds, of inference alone, on noise; memory is what the process grew by"]


def _row(one: "Measurement") -> tuple[str, ...]:
    interval = one.interval_ms
    return (
        one.delegate.asked,
        str(one.threads),
        f"{one.median_ms:.2f}",
        "–" if interval is None else f"{interval[0]:.2f}-{interval[1]:.2f}",
        "–" if one.p95_ms is None else f"{one.p95_ms:.2f}",
        f"{one.first_run_ms:.2f}",
        f"{one.init_ms:.2f}",
        megabytes(one.peak_memory_bytes),
        one.delegate.verdict,
    )


def _remarks(one: "Measurement") -> list[str]:
    name = f"{one.delegate.asked}, {one.threads} threads"
    remarks = []
    if one.delegate.fell_back:
        remarks.append(f"{name}: FELL BACK TO CPU, so this is no time of {one.delegate.asked}: {one.delegate.said}")
    if not one.tight:
        remarks.append(
            f"{name}: after {len(one.rounds)} processes the interval is still wider than ±{100 * one.tolerance:g}%; "
            "add --rounds, or quieten the device"
        )
    if one.sample != "run":
        remarks.append(f"{name}: the tool tells no single runs; each sample is a {one.sample} of {one.runs} runs")
    if one.held_down:
        remarks.append(f"{name}: heat or a power setting held the clock down")
    return remarks


def _state_line(when: str, state: "DeviceState") -> str:
    clocks = " ".join(
        f"{one.policy} {one.current_khz / 1e6:.2f}/{one.possible_khz / 1e6:.2f} GHz" for one in state.frequencies
    )
    hottest = max(state.temperatures_c, key=lambda one: one[1], default=None)
    heat = f"hottest {hottest[0]} {hottest[1]:.1f} °C" if hottest else ""
    status = f"thermal status {state.thermal_status}" if state.thermal_status is not None else ""
    told = ", ".join(part for part in (clocks, heat, status) if part)
    return f"{when}: {told or 'the device tells neither clock nor temperature'}"


def _refuse(failures: "tuple[Failure, ...]", *, measured: bool) -> int:
    """End with the one failure there is, or name all and end with what they are."""
    if len(failures) == 1:
        raise failures[0].error
    for one in failures:
        which = "" if one.delegate is None else f", {one.delegate}, {one.threads} threads"
        note(f"{one.device}{which}: {one.error}")
    rest = "the others are shown above" if measured else "nothing was measured"
    kind = UsageError if all(isinstance(one.error, UsageError) for one in failures) else ProfileError
    raise kind(f"{len(failures)} measurements failed, each named above; {rest}")


def _operations(args: argparse.Namespace) -> int:
    """Each operation's time, beside what the device could do."""
    from mobile_seg.cli import operations

    if args.data or args.images:
        raise UsageError("--operations takes no images; leave --data and --images out")
    elsewhere = (args.device or profile_options.DEVICES) != profile_options.DEVICES or args.preset
    elsewhere = elsewhere or (args.runner or profile_options.RUNNER_HERE) != profile_options.RUNNER_HERE
    taken, found = _watched(args) if elsewhere else _watched_here(args)
    if args.json:
        say_json((found or taken).to_dict())
    else:
        say(*operations.lines(taken, found))
    return 0


def _watched_here(args: argparse.Namespace) -> "tuple[OperationProfile, Roofline]":
    """By LiteRT's own profiler, through its C interface."""
    from mobile_seg.profiling.operations.peaks import measure_peaks
    from mobile_seg.profiling.operations.profile import profile_operations
    from mobile_seg.profiling.operations.roofline import roofline

    _refuse_others(args, what="--operations with --runner litert runs XNNPACK on this machine")
    threads, *more = args.threads or (1,)
    if more:
        raise UsageError("--operations takes one number of threads; leave the others out")
    with Progress() as progress:
        progress(0, 2, "measuring this machine's limits")
        peaks = measure_peaks(threads=threads)
        progress(1, 2, "profiling each operation")
        taken = profile_operations(args.artifact, threads=threads, warmup=args.warmup, runs=args.runs)
        progress(2, 2, "profiled")
    return taken, roofline(taken, peaks)


def _watched(args: argparse.Namespace) -> "tuple[OperationProfile, Roofline | None]":
    """By another runner, on one device."""
    from mobile_seg.profiling.watching import watch_operations

    left_out = profile_options.given(args, but=profile_options.OF_ONE_PROCESS)
    left_out += [option for option, on in (("--history", args.history), ("--no-history", args.no_history)) if on]
    if left_out:
        raise UsageError(f"--operations watches one process and keeps nothing; leave out {left_out[0]}")
    args.threads = args.threads or (None if args.preset else (1,))
    choice = profile_options.chosen(args)
    jobs = choice.plan.jobs()
    if len(jobs) > 1 or len(choice.devices) > 1:
        raise UsageError(
            "--operations takes one device, one delegate and one number of threads; name them with --device "
            "adb:SERIAL, --delegate and --threads"
        )
    with Progress() as progress:
        return watch_operations(
            Path(args.artifact),
            device=choice.devices[0],
            runner=choice.runner,
            job=jobs[0],
            tell=lambda doing: progress(0, 1, doing),
        )


def _refuse_others(args: argparse.Namespace, *, what: str) -> None:
    """Refuse options of measuring the model alone, but for the defaults said aloud."""
    own = {"device": profile_options.DEVICES, "runner": profile_options.RUNNER_HERE}
    own["delegate"] = profile_options.DELEGATES
    same = tuple(name for name, value in own.items() if getattr(args, name) == value)
    alone = profile_options.given(args, but=("threads", "runs", "warmup", *same))
    alone += [option for option, on in (("--history", args.history), ("--no-history", args.no_history)) if on]
    if alone:
        raise UsageError(f"{what}; {alone[0]} goes with measuring the model alone: leave out one of them")


def _stages(args: argparse.Namespace) -> int:
    """Pre-processing, inference and post-processing on images, on this machine."""
    _refuse_others(args, what="--data and --images time each stage on this machine")
    threads = args.threads or DEFAULTS["threads"]
    profile = api.profile(args.artifact, images=_images(args), threads=threads, runs=args.runs, warmup=args.warmup)
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
