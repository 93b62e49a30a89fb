"""Pythons of their own for programs whose pins fight with ours, or that must not find our packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def python_with(folder: Path, *requirements: str) -> str:
    """Make a virtual environment in `folder` with these packages and return its interpreter; skip if that fails."""
    made = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    for command in (
        [sys.executable, "-m", "venv", folder],
        [made, "-m", "pip", "install", "--quiet", *requirements],
    ):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode:
            reason = next(reversed(done.stderr.strip().splitlines()), "no reason given")
            pytest.skip(f"{' '.join(requirements)} cannot be installed here: {reason}")
    return str(made)


def bare_environment() -> dict[str, str]:
    """Nothing of our environment: another Python's packages must not be found."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
