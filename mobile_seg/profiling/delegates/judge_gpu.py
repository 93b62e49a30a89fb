"""Compile a file for this machine's GPU, and read what LiteRT's accelerator says of it."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from mobile_seg.errors import ProfileError

SECONDS = 300
"""What a software GPU may take for a large network."""

REFUSED = "Following operations are not supported by GPU delegate:"
COUNT = re.compile(r"^(\d+|No) operations will run on the GPU")

PROGRAM = """
import json, pathlib, sys
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
both = HardwareAccelerator.GPU | HardwareAccelerator.CPU
model = CompiledModel.from_file(sys.argv[1], hardware_accel=both)
pathlib.Path(sys.argv[2]).write_text(json.dumps(model.is_fully_accelerated()))
"""


class LiteRTMissing(Exception):
    """There is no accelerator to ask."""


def compile_in_child(path: str) -> tuple[set[str], int | None]:
    """Return the kinds of operations that the GPU refuses, and how many it takes: None for all.

    In a process of its own: a driver that crashes must not take this one along.

    Raises:
        LiteRTMissing: if LiteRT is not installed.
        ProfileError: if there is no GPU, or no verdict.
    """
    found = importlib.util.find_spec("ai_edge_litert")
    if found is None or not found.submodule_search_locations:
        raise LiteRTMissing
    # The accelerator looks for the libraries beside it by name.
    beside = [*found.submodule_search_locations, os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, beside))}
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        words = [sys.executable, "-c", PROGRAM, str(Path(path).resolve()), str(answer)]
        try:
            ran = subprocess.run(
                words, capture_output=True, text=True, errors="replace", env=environment, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ProfileError(f"{path}: the GPU gave no verdict in {SECONDS} s; try a smaller input") from error
        whole = json.loads(answer.read_text()) if answer.is_file() else None
    return read_log(ran.stdout + ran.stderr, whole=whole, path=path)


def read_log(log: str, *, whole: bool | None, path: str) -> tuple[set[str], int | None]:
    """Return what an accelerator's log says: kinds refused, and how many operations run on the GPU.

    `whole` is its own word that it takes all of them, None if it did not come that far. XNNPACK's
    share counts in that word, so a list of what the GPU refuses outranks it.

    Raises:
        ProfileError: if there is no GPU, or no verdict.
    """
    if whole and REFUSED not in log:
        return set(), None
    lines = log.splitlines()
    if whole is None or REFUSED not in log:
        if "No adapters found" in log or "Failed to initialize WebGPU" in log:
            raise ProfileError(
                "this machine has no GPU that WebGPU opens; a software one does: install Chromium's SwiftShader "
                "and name it in VK_ICD_FILENAMES"
            )
        reason = next((line for line in reversed(lines) if "ERROR" in line), "no reason given")
        raise ProfileError(f"{path}: the GPU accelerator gave no verdict ({reason.strip()})")
    start = next(number for number, line in enumerate(lines) if REFUSED in line)
    refused: set[str] = set()
    for line in lines[start + 1 :]:
        if count := COUNT.match(line):
            return refused, 0 if count[1] == "No" else int(count[1])
        if kind := re.match(r"^(?:CUSTOM )?([\w.-]+): ", line):
            refused.add(kind[1])
    raise ProfileError(f"{path}: the GPU accelerator does not say how many operations it takes")
