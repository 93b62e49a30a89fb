"""Compile a file with Arm's Vela, and read what it leaves to the CPU and what it estimates."""

import csv
import os
import re
import subprocess
import tempfile
from pathlib import Path

from mobile_seg.child_process import MODULE
from mobile_seg.errors import ProfileError

CONFIGURATION = "ethos-u55-256"
SECONDS = 600

REFUSED = re.compile(r"^Warning \(supported operators\) operator: ([\w-]+), ofm: '(.*)'$", flags=re.MULTILINE)


def compile_in_child(path: str) -> tuple[set[tuple[str, str]], tuple[tuple[str, str], ...]]:
    """Return the operations that Vela leaves, as (kind, name of the first output), and its estimates.

    Raises:
        ProfileError: if it cannot read the file.
    """
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as folder:
        words = [*MODULE, "ethosu.vela", str(Path(path).resolve()), "--output-dir", folder]
        try:
            ran = subprocess.run(
                [*words, "--accelerator-config", CONFIGURATION],
                capture_output=True,
                text=True,
                errors="replace",
                env=environment,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ProfileError(f"{path}: Vela was not done in {SECONDS} s; try a smaller input") from error
        if ran.returncode:
            said = next(iter(reversed((ran.stderr or ran.stdout).strip().splitlines())), "no reason given")
            raise ProfileError(f"{path}: Vela gives no verdict ({said})")
        summaries = sorted(Path(folder).glob("*_summary_*.csv"))
        text = summaries[0].read_text(encoding="utf-8") if summaries else ""
    return set(REFUSED.findall(ran.stdout)), estimates(text)


def estimates(summary: str) -> tuple[tuple[str, str], ...]:
    """Return what Vela's summary (CSV) estimates: cycles, milliseconds at its clock, and memory."""
    rows = list(csv.DictReader(summary.splitlines()))
    if not rows or not float(rows[0].get("cycles_total") or 0):
        return ()
    row = rows[0]
    clock = float(row["core_clock"])
    return (
        ("cycles", f"{float(row['cycles_total']):,.0f}"),
        ("time", f"{1000 * float(row['inference_time']):.2f} ms at {clock / 1e6:.0f} MHz"),
        ("SRAM", f"{float(row['sram_memory_used']):,.0f} KiB"),
    )
