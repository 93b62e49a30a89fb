"""Runners by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobile_seg.errors import UsageError, choose
from mobile_seg.profiling.runners.app import AppRunner
from mobile_seg.profiling.runners.base import Runner
from mobile_seg.profiling.runners.benchmark_model import BenchmarkModelRunner
from mobile_seg.profiling.runners.c_runner import CRunner
from mobile_seg.profiling.runners.litert import LiteRTRunner


@dataclass(frozen=True)
class Tools:
    """Files that some runners need; None is looked for or asked for."""

    benchmark_model: Path | None = None
    c_runner: Path | None = None
    litert_library: Path | None = None


RUNNERS: dict[str, Callable[[Tools], Runner]] = {
    "litert": lambda tools: LiteRTRunner(),
    "benchmark_model": lambda tools: BenchmarkModelRunner(path=tools.benchmark_model),
    "c": lambda tools: CRunner(program=tools.c_runner, library=tools.litert_library),
    "app": lambda tools: AppRunner(),
}
"""A new runner is one file and one row here."""


def runner_named(name: str, *, tools: Tools | None = None) -> Runner:
    """Return a runner.

    Raises:
        UsageError: for a name that is not known.
    """
    return RUNNERS[choose("--runner", name, tuple(RUNNERS))](tools or Tools())


def check_delegates(runner: Runner, delegates: tuple[str, ...]) -> None:
    """Refuse a delegate that a runner cannot be asked for.

    Raises:
        UsageError: naming the delegate and those it can.
    """
    for delegate in delegates:
        if delegate not in runner.delegates:
            raise UsageError(
                f"--delegate {delegate} is none that --runner {runner.name} can use; choose from "
                f"{', '.join(runner.delegates)}, or another runner"
            )
