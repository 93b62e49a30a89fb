"""`mobile-seg doctor`: what is installed, what is missing, and the line that mends it.

The pins are read from the installed package's metadata. What has to load is loaded in a process of its
own: one broken package, even one that crashes, does not hide the others.
"""

import argparse
import importlib.metadata
import itertools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from mobile_seg.cli.requirements import Requirement, parse_requirement, satisfies
from mobile_seg.cli.terminal import next_step, note, say, say_json

PACKAGE = "mobile-seg"
HIDDEN_EXTRAS = ("dev",)
ALTERNATIVES = {
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
}
"""Distributions that bring the same modules, under the same version numbers, as the one we ask for."""

LITERT = """
import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
tensor = schema.TensorT()
tensor.shape, tensor.type, tensor.name, tensor.buffer = [1], schema.TensorType.FLOAT32, "x", 0
graph = schema.SubGraphT()
graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [0], [0], []
model = schema.ModelT()
model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], [schema.BufferT()], []
builder = flatbuffers.Builder(256)
builder.Finish(model.Pack(builder), b"TFL3")
Interpreter(model_content=bytes(builder.Output())).allocate_tensors()
print("opens a model")
"""
KERAS = "import keras; print(f'{keras.__version__} on {keras.backend.backend()}')"
JAX_DEVICES = "import jax; print(', '.join(f'{d.platform}: {d.device_kind}' for d in jax.devices()))"
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Check:
    """One line of the result. `ok` is None for what is only stated; `fix` is the line that mends it."""

    name: str
    ok: bool | None
    found: str
    fix: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Check everything and show it; 1 if something that is needed is missing."""
    note("checking; loading the libraries takes some seconds")
    checks = all_checks()
    healthy = all(check.ok is not False for check in checks)
    if args.json:
        say_json({"ok": healthy, "checks": [asdict(check) for check in checks]})
        return 0 if healthy else 1
    marks = {True: "ok", False: "FAIL", None: "-"}
    width = max(len(check.name) for check in checks)
    for check in checks:
        say(f"{marks[check.ok]:6}{check.name.ljust(width)}  {check.found}")
    fixes = list(dict.fromkeys(check.fix for check in checks if check.fix and check.ok is False))
    optional = list(dict.fromkeys(check.fix for check in checks if check.fix and check.ok is None))
    if fixes:
        say("", "to mend it:", *(f"  {fix}" for fix in fixes))
    if optional:
        say("", "optional:", *(f"  {fix}" for fix in optional))
    if healthy:
        next_step("mobile-seg quickstart")
    return 0 if healthy else 1


def all_checks() -> list[Check]:
    """Every check, each on its own: one that fails in an unforeseen way says so in its own line."""
    loading: tuple[Callable[[], list[Check]], ...] = (_opencv, _litert, _keras, _devices)
    with ThreadPoolExecutor(len(loading)) as pool:
        loaded = list(pool.map(_isolated, loading))
    stated = [_isolated(check) for check in (_python, _packages, _extras)]
    rest = [_isolated(check) for check in (_environment, _machine)]
    return list(itertools.chain.from_iterable([*stated, *loaded, *rest]))


def _isolated(check: Callable[[], list[Check]]) -> list[Check]:
    try:
        return check()
    except Exception as error:  # whatever it is, the other checks go on
        name = check.__name__.strip("_")
        return [Check(name, False, f"the check itself failed: {type(error).__name__}: {error}")]


def _python() -> list[Check]:
    version = platform.python_version()
    try:
        wanted = importlib.metadata.metadata(PACKAGE)["Requires-Python"]
    except importlib.metadata.PackageNotFoundError:
        return [Check("Python", None, version)]
    ok = satisfies(version, wanted)
    fix = None if ok else f"make an environment with Python {wanted}"
    return [Check("Python", ok, f"{version} (needs {wanted})", fix)]


def _packages() -> list[Check]:
    try:
        needed = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        found = "not installed as a package, so what it needs is not known"
        return [Check(PACKAGE, False, found, "pip install . (in the repository's root)")]
    rows = [Check(PACKAGE, True, importlib.metadata.version(PACKAGE))]
    return rows + [_package(item) for item in map(parse_requirement, needed) if item.extra is None and item.applies]


def _package(needed: Requirement) -> Check:
    installed = _installed(needed.name)
    fix = f"pip install '{needed.name}{needed.versions}'"
    wanted = f" (needs {needed.versions})" if needed.versions else ""
    if installed is None:
        return Check(needed.name, False, f"not installed{wanted}", fix)
    name, version = installed
    ok = satisfies(version, needed.versions)
    told = version if name == needed.name else f"{name} {version}"
    return Check(needed.name, ok, f"{told}{wanted}", None if ok else fix)


def _installed(name: str) -> tuple[str, str] | None:
    for candidate in (name, *ALTERNATIVES.get(name, ())):
        try:
            return candidate, importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _extras() -> list[Check]:
    try:
        needed = [parse_requirement(line) for line in importlib.metadata.requires(PACKAGE) or []]
    except importlib.metadata.PackageNotFoundError:
        return []
    rows = []
    for extra in dict.fromkeys(item.extra for item in needed if item.extra and item.extra not in HIDDEN_EXTRAS):
        parts = [_package(item) for item in needed if item.extra == extra and item.applies]
        complete = all(part.ok for part in parts)
        found = ", ".join(f"{part.name} {part.found}" for part in parts)
        fix = None if complete else f"pip install '{PACKAGE}[{extra}]'"
        rows.append(Check(f"extra [{extra}]", True if complete else None, found, fix))
    return rows


def _opencv() -> list[Check]:
    ok, said = run_python("import cv2; print('loads')")
    fix = None
    if not ok:
        fix = "pip install --force-reinstall opencv-python"
        if "libGL" in said or "libgthread" in said:
            fix = "apt-get install libgl1 libglib2.0-0   (or: pip install opencv-python-headless)"
    return [Check("OpenCV (cv2)", ok, said, fix)]


def _litert() -> list[Check]:
    ok, said = run_python(LITERT)
    return [Check("LiteRT interpreter", ok, said, None if ok else "pip install --force-reinstall ai-edge-litert")]


def _keras() -> list[Check]:
    ok, said = run_python(KERAS)
    backend = _backend()
    fix = None
    if not ok:
        fix = f"pip install '{PACKAGE}[jax]'" if backend == "jax" else "pip install --force-reinstall keras tensorflow"
    return [Check("Keras", ok, said, fix)]


def _devices() -> list[Check]:
    if _backend() != "jax":
        return []
    ok, said = run_python(JAX_DEVICES)
    return [Check("JAX devices", ok, said, None if ok else f"pip install '{PACKAGE}[jax]'")]


def _environment() -> list[Check]:
    value = os.environ.get("KERAS_BACKEND")
    if value is None:
        return [Check("KERAS_BACKEND", None, "not set: Keras' own configuration decides, tensorflow unless changed")]
    if value not in ("tensorflow", "jax"):
        return [Check("KERAS_BACKEND", False, f"{value}, which mobile-seg does not run on", "unset KERAS_BACKEND")]
    told = "jax: it trains; exporting needs tensorflow" if value == "jax" else value
    return [Check("KERAS_BACKEND", True, told)]


def _machine() -> list[Check]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rows = [
        Check("processor", None, f"{platform.machine()}, {cores} threads usable, on {platform.platform(terse=True)}"),
        Check("free disk", None, f"{free:.1f} GB here"),
    ]
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
        rows.insert(1, Check("memory", None, f"{memory:.1f} GB"))
    return rows


def _backend() -> str:
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def run_python(code: str) -> tuple[bool, str]:
    """Run code in a fresh interpreter: whether it ended well, and the last line it said."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            env={**os.environ, "PYTHONSAFEPATH": "1"},  # a file cv2.py in this folder is not what is asked for
        )
    except subprocess.TimeoutExpired:
        return False, f"does not load within {TIMEOUT_SECONDS} s"
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode < 0:
        return False, f"crashes when loaded (signal {-done.returncode})"
    return done.returncode == 0, said[-1] if said else f"exit code {done.returncode}"
