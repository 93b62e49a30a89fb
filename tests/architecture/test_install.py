"""The installed package is what the tests see, and its command line starts without heavy imports."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mobile_seg
from architecture.rules import ROOT

HEAVY = ("tensorflow", "keras", "jax", "cv2", "numpy", "ai_edge_litert", "PIL")

IMPORTED = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


@pytest.mark.skipif("MOBILE_SEG_INSTALLED" not in os.environ, reason="only `make test` installs the wheel first")
def test_the_tests_run_against_the_installed_wheel() -> None:
    where = Path(mobile_seg.__file__).resolve()
    assert not where.is_relative_to(ROOT / "mobile_seg"), f"{where} is the checkout"
    for folder in ("converters", "quantization"):
        spec = importlib.util.find_spec(f"mobile_seg.{folder}")
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).resolve() == where.parent / folder / "__init__.py"
        assert importlib.util.find_spec(folder) is None, f"`import {folder}` works here; it must not"


def imported_by(code: str) -> set[str]:
    """Run `code` in a fresh interpreter and return the top-level modules it loaded."""
    done = subprocess.run([sys.executable, "-c", f"{code}\n{IMPORTED}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import mobile_seg",
        "import mobile_seg.cli.main",
        "import contextlib, sys\n"
        "from mobile_seg.cli.main import main\n"
        "sys.argv = ['mobile-seg', '--help']\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main()",
    ],
    ids=["import", "import-cli", "help"],
)
def test_starting_up_imports_nothing_heavy(code: str) -> None:
    assert sorted(imported_by(code) & set(HEAVY)) == []


def test_a_heavy_import_would_be_seen() -> None:
    assert "numpy" in imported_by("import numpy")
