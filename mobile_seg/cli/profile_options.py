"""What `profile` and `compare` share: on what, with what and how well to measure."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mobile_seg.cli import parsing
from mobile_seg.errors import UsageError

if TYPE_CHECKING:
    from mobile_seg.profiling.devices.base import Device
    from mobile_seg.profiling.runners.base import Runner
    from mobile_seg.profiling.session import Plan

WARMUP, ROUNDS, TOLERANCE, SECONDS = 5, 10, 2.0, 300
"""Defaults: discarded runs, processes at most, per cent, seconds for one process."""

TOOLS = ("benchmark_model", "c_runner", "litert_library")

OF_ONE_PROCESS = ("device", "runner", "delegate", "preset", "mask", "threads", "runs", "warmup", "timeout", *TOOLS)
"""What is asked of a single process, and where it runs."""

DEVICES, DELEGATES = ("host",), ("xnnpack",)
RUNNER_HERE, RUNNER_ELSEWHERE = "litert", "benchmark_model"


@dataclass(frozen=True)
class Choice:
    """Devices, runner and plan as asked for, by options and preset."""

    devices: "list[Device]"
    runner: "Runner"
    plan: "Plan"


def add_measuring(parser: argparse.ArgumentParser, *, threads: tuple[int, ...], runs: int) -> None:
    """Declare the options of a measurement."""
    add = parser.add_argument
    add("--device", type=_list, metavar="NAME", help="host, adb (all connected phones) or adb:SERIAL (default: host)")
    add(
        "--runner",
        metavar="NAME",
        help="litert, benchmark_model, c or app (default: litert here, benchmark_model on adb)",
    )
    add(
        "--delegate",
        type=_list,
        metavar="NAME",
        help="xnnpack, gpu, nnapi, hexagon, edgetpu, none; several with commas (default: xnnpack)",
    )
    add("--preset", metavar="NAME", help="a device described in TOML, by its name or file; options override it")
    add("--mask", type=_mask, metavar="HEX", help="pin to cores, lowest bit the first core, such as f0")
    _add_threads(parser, threads)
    parser.set_defaults(default_threads=threads, default_runs=runs)
    add(
        "--runs",
        type=parsing.whole_number("--runs"),
        metavar="N",
        default=runs,
        help="measured runs per process (default: %(default)s)",
    )
    add(
        "--warmup",
        type=parsing.whole_number("--warmup", low=0),
        metavar="N",
        default=WARMUP,
        help="discarded runs before them (default: %(default)s)",
    )
    add(
        "--rounds",
        type=parsing.whole_number("--rounds", low=2),
        metavar="N",
        default=ROUNDS,
        help="processes at most, each loading the model anew (default: %(default)s)",
    )
    add(
        "--tolerance",
        type=parsing.number("--tolerance", low=0.1, high=50.0),
        metavar="PERCENT",
        default=TOLERANCE,
        help="stop earlier once the median's 95%% interval is within this much of it (default: %(default)g)",
    )
    add(
        "--timeout",
        type=parsing.whole_number("--timeout"),
        metavar="S",
        default=SECONDS,
        help="seconds that one process may take (default: %(default)s)",
    )
    add("--benchmark-model", type=Path, metavar="FILE", help="the official tool, built for the device")
    add("--c-runner", type=Path, metavar="FILE", help="our C program, built for the device")
    add("--litert-library", type=Path, metavar="FILE", help="libLiteRt.so for the C program, built for the device")


def chosen(args: argparse.Namespace) -> Choice:
    """Find the devices and the runner, and put the plan together.

    Raises:
        UsageError, MissingExtraError, ProfileError: as the device, the runner and the preset do.
    """
    from mobile_seg.profiling.devices.presets import load_preset
    from mobile_seg.profiling.devices.registry import devices_named
    from mobile_seg.profiling.runners.registry import Tools, check_delegates, runner_named
    from mobile_seg.profiling.session import Plan

    preset = load_preset(args.preset) if args.preset else None
    names = args.device or ((preset.device,) if preset else DEVICES)
    on_host = all(name == "host" for name in names)
    default = RUNNER_HERE if on_host else RUNNER_ELSEWHERE
    tools = Tools(args.benchmark_model, args.c_runner, args.litert_library)
    runner = runner_named(args.runner or (preset.runner if preset else default), tools=tools)
    delegates = args.delegate or (preset.delegates if preset else DELEGATES)
    check_delegates(runner, delegates)
    devices = devices_named(names)
    if preset and preset.abi:
        for facts in (device.facts() for device in devices):
            if facts.abi != preset.abi:
                raise UsageError(f"--preset {args.preset} is for {preset.abi}; {facts.label} is {facts.abi}")
    plan = Plan(
        delegates=delegates,
        threads=args.threads or (preset.threads if preset else args.default_threads),
        warmup=args.warmup,
        runs=args.runs,
        tolerance=args.tolerance / 100,
        most_rounds=args.rounds,
        seconds=float(args.timeout),
        mask=args.mask or (preset.mask if preset else ""),
    )
    return Choice(devices, runner, plan)


def given(args: argparse.Namespace, *, but: tuple[str, ...] = ()) -> list[str]:
    """The options of a measurement that were given, but for some: those whose value is not the default."""
    defaults = {"runs": args.default_runs, "warmup": WARMUP, "rounds": ROUNDS, "tolerance": TOLERANCE}
    defaults["timeout"] = SECONDS
    names = ("device", "runner", "delegate", "preset", "mask", "threads", *defaults, *TOOLS)
    return [
        f"--{name.replace('_', '-')}" for name in names if name not in but and getattr(args, name) != defaults.get(name)
    ]


def _add_threads(parser: argparse.ArgumentParser, threads: tuple[int, ...]) -> None:
    parser.add_argument(
        "--threads",
        type=parsing.whole_numbers("--threads", "1,2"),
        help=f"CPU threads (default: {parsing.listed(threads)})",
    )


def _list(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UsageError(f"{text!r} names nothing; write names with commas between them")
    return names


def _mask(text: str) -> str:
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", text) or int(text, 16) == 0:
        raise UsageError(f"--mask {text!r} is no core mask; write it in hexadecimal, like --mask f0.")
    return text.lower().removeprefix("0x")
