"""The Android app (`android_demo`) as a runner: an intent starts its benchmark, a JSON file is its answer.

The contract between this file and the app:

    am start -W -S -n dev.mobileseg.demo/.BenchmarkActivity
      --es model PATH       a .tflite file below /data/local/tmp, readable by every app
      --es delegate NAME    one of `AppRunner.delegates`
      --ei threads N  --ei warmup N  --ei runs N
      --es output PATH      below /sdcard/Android/data/dev.mobileseg.demo/files, which both the app and adb may use

The activity measures once, on a thread of its own with the screen on, writes the JSON of
`mobile_seg/profiling/runners/result.py` to `PATH.partial`, renames it to `PATH` and finishes. What it cannot
measure it answers with `{"schema": …, "error": "one line"}`: it never falls back to another delegate by itself
without saying so in `delegated` and `left`.
"""

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.profiling.devices.adb import AdbWorkspace
from mobile_seg.profiling.devices.base import Device, Workspace
from mobile_seg.profiling.runners.base import Job, RunResult, failed
from mobile_seg.profiling.runners.result import parse_result

PACKAGE = "dev.mobileseg.demo"
ACTIVITY = f"{PACKAGE}/.BenchmarkActivity"
FILES = f"/sdcard/Android/data/{PACKAGE}/files"
"""The app's own folder on shared storage: no permission is asked, and adb's shell may read it."""

POLL = 0.5
"""Seconds between two looks for the answer: rare enough to leave the measurement alone."""


class AppRunner:
    """The benchmark inside the demo app, where a model runs as it will in a product."""

    name = "app"
    delegates: tuple[str, ...] = ("xnnpack", "gpu", "nnapi", "none")

    def prepare(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job], RunResult]:
        """See `Runner.prepare`."""
        facts = device.facts()
        if not isinstance(workspace, AdbWorkspace):
            raise UsageError(f"--runner app runs on phones, not on {facts.label}; add --device adb")
        phone = workspace.device
        if phone.shell(["pm", "path", PACKAGE]).code != 0:
            raise ProfileError(
                f"{facts.label} has no app {PACKAGE}; build android_demo and install it with: "
                f"adb -s {shlex.quote(phone.serial)} install -r mobile-seg-demo.apk"
            )
        path = workspace.put(model)
        output = f"{FILES}/{workspace.folder.rpartition('/')[2]}.json"

        def once(job: Job) -> RunResult:
            if job.mask:
                raise UsageError("a core mask cannot be given to an app; leave out --mask with --runner app")
            phone.shell(["rm", "-f", output])
            try:
                started = phone.shell(_intent(path, output, job))
                # `am` exits with 0 even where there is no such activity.
                said = [*started.out.splitlines(), *started.err.splitlines()]
                if started.code != 0 or any(line.startswith("Error") for line in said):
                    raise failed(f"starting {ACTIVITY}", started.code, started.last_words)
                content = _wait(workspace, output, seconds=job.seconds)
                return parse_result(content, asked=job.delegate, runs=job.runs, who="the app")
            finally:
                phone.shell(["am", "force-stop", PACKAGE])
                phone.shell(["rm", "-f", output, f"{output}.partial"])

        return once


def _intent(model: str, output: str, job: Job) -> list[str]:
    texts = {"model": model, "delegate": job.delegate, "output": output}
    numbers = {"threads": job.threads, "warmup": job.warmup, "runs": job.runs}
    extras = [("--es", name, text) for name, text in texts.items()]
    extras += [("--ei", name, str(number)) for name, number in numbers.items()]
    return ["am", "start", "-W", "-S", "-n", ACTIVITY, *(word for extra in extras for word in extra)]


def _wait(workspace: AdbWorkspace, output: str, *, seconds: float) -> bytes:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if workspace.device.shell(["test", "-f", output]).code == 0:
            return workspace.get(output)
        time.sleep(POLL)
    raise ProfileError(
        f"{workspace.device.serial}: the app gave no answer within {seconds:.0f} s; unlock the phone, keep its screen "
        "on, or give it more with --timeout"
    )
