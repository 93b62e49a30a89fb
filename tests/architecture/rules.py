"""The house rules that can be read off the source, as functions from sources to complaints.

Each returns one line per violation, `path:line: what and why`; an empty list means the rule holds.
"""

import ast
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FOLDERS = {"mobile_seg": "mobile_seg", "converters": "mobile_seg.converters", "quantization": "mobile_seg.quantization"}
"""Top-level folder → the name it is imported by (pyproject.toml, package-dir)."""

_BELOW_TRAINING = ("base", "data", "models", "quantization", "evaluation")
_BELOW_REPORT = (*_BELOW_TRAINING, "training", "converters", "verify", "profiling", "inspection")

ROOMS: dict[str, tuple[str, ...]] = {
    "base": (),
    "data": ("base",),
    "models": ("base",),
    "quantization": ("base",),
    "evaluation": ("base",),
    "training": _BELOW_TRAINING,
    "converters": ("base",),
    "verify": ("base",),
    "profiling": ("base",),
    "inspection": ("base", "converters", "verify", "profiling"),
    "search": _BELOW_REPORT,
    "report": _BELOW_REPORT,
    "main job": (*_BELOW_REPORT, "search", "report"),
    "cli": (*_BELOW_REPORT, "search", "report", "main job"),
}
"""Room → the rooms it may import from, besides itself. Modules directly in `mobile_seg` are the base."""

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("mobile_seg.profiling", "mobile_seg.verify.tflite_runner"): (
        "what is timed must be opened exactly as what is verified: one way to start an interpreter"
    ),
}
"""(importing package or module, imported module) → why this one import may go against the table above."""

MAIN_JOB = (
    "mobile_seg",
    "mobile_seg.api",
    "mobile_seg.bundling",
    "mobile_seg.demo_server",
    "mobile_seg.export_artifact",
    "mobile_seg.export_source",
    "mobile_seg.exporting",
    "mobile_seg.job",
    "mobile_seg.measurements",
    "mobile_seg.phases",
    "mobile_seg.quantizing",
    "mobile_seg.rebuilding",
    "mobile_seg.targeting",
    "mobile_seg.tflite",
    "mobile_seg.tfmot_engine",
)
"""The modules that chain the rooms into the product's verbs; they stand between report and cli."""

NO_TENSORFLOW = ("data", "models", "training", "quantization")
TENSORFLOW_ONLY = (
    "mobile_seg.quantization.tf_keras_twin",
    "mobile_seg.quantization.tfmot_export",
    "mobile_seg.quantization.tfmot_train",
)
"""The bridge to TF-MOT, which exists on TensorFlow alone; it may import it inside functions, where it is called for."""

SPEAKERS = (
    "mobile_seg.cli",
    "mobile_seg.__main__",
    "mobile_seg.inspection.worker",
    "mobile_seg.profiling.operations.worker",
    "mobile_seg.profiling.worker",
    "mobile_seg.verify.ahead_worker",
)
"""Who may print and exit: the command line (two ways in), and worker processes that answer in JSON on stdout."""

MODULE_LINES = 300
FUNCTION_LINES = 60


@dataclass(frozen=True)
class Source:
    """One Python file: the name it is imported by, the path shown in complaints, its text."""

    module: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path)

    @property
    def package(self) -> str:
        """What a relative import in this file starts from."""
        return self.module if self.path.endswith("__init__.py") else self.module.rpartition(".")[0]


@dataclass(frozen=True)
class Import:
    """One imported dotted name and the line it stands on."""

    line: int
    name: str


def python_files(folder: Path) -> Iterator[Path]:
    """Yield the `.py` files below `folder`; symbolic links are not sources, hidden folders not ours."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            f for f in folders if f[0] != "." and f not in ("__pycache__", "build") and not Path(parent, f).is_symlink()
        )
        yield from (Path(parent, f) for f in sorted(files) if f.endswith(".py"))


def package_sources(root: Path = ROOT) -> list[Source]:
    """Read every module of the package, under the name it is installed by."""
    sources = []
    for folder, prefix in FOLDERS.items():
        for path in python_files(root / folder):
            parts = path.relative_to(root / folder).with_suffix("").parts
            module = ".".join((prefix, *parts)).removesuffix(".__init__")
            sources.append(Source(module, str(path.relative_to(root)), path.read_text("utf-8")))
    return sources


def imports(source: Source) -> list[Import]:
    """List what a file imports, inside functions too. `from a import b` yields `a.b`."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = source.package.split(".")[: len(source.package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found += [Import(node.lineno, f"{base}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "importlib.import_module", "__import__"):
            literal = node.args[0] if node.args else None
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                found.append(Import(node.lineno, literal.value))
    return found


def room_of(name: str, modules: Iterable[str]) -> str:
    """Return the room that an imported name inside `mobile_seg` belongs to."""
    parts = name.split(".")
    if name == "mobile_seg.__main__":
        return "cli"
    if name in MAIN_JOB or ".".join(parts[:2]) in MAIN_JOB:
        return "main job"
    if parts[1] in ROOMS:
        return parts[1]
    if any(module.startswith(f"mobile_seg.{parts[1]}.") for module in modules):
        return parts[1]
    if f"mobile_seg.{parts[1]}" in modules:
        return "base"
    return "main job"  # a name that `mobile_seg/__init__.py` offers


def import_directions(sources: list[Source]) -> list[str]:
    """Imports go one way: base ← {data, models, quantization, evaluation} ← training ← … ← cli."""
    modules = {source.module for source in sources}
    complaints = []
    for source in sources:
        room = room_of(source.module, modules)
        if room not in ROOMS:
            complaints.append(f"{source.path}:1: {room} is a new room; say in ROOMS what it may import")
            continue
        for item in imports(source):
            if item.name.split(".")[0] != "mobile_seg":
                continue
            target = room_of(item.name, modules)
            if any(_within(source.module, (who,)) and _within(item.name, (what,)) for who, what in EXCEPTIONS):
                continue
            if target != room and target not in ROOMS[room]:
                allowed = ", ".join(ROOMS[room]) or "nothing of mobile_seg"
                complaints.append(f"{source.path}:{item.line}: {room} imports {item.name} ({target}); may: {allowed}")
    return complaints


def tensorflow_imports(sources: list[Source]) -> list[str]:
    """What trains must run on any Keras backend: no TensorFlow in data, models, training, quantization."""
    rooms = tuple(f"mobile_seg.{room}" for room in NO_TENSORFLOW)
    return [
        f"{source.path}:{item.line}: imports {item.name}; use keras.ops, or move it to converters or verify"
        for source in sources
        if _within(source.module, rooms)
        for item in imports(source)
        if item.name.split(".")[0] == "tensorflow"
        and not (source.module in TENSORFLOW_ONLY and _inside_a_function(source, item.line))
    ]


def _inside_a_function(source: Source, line: int) -> bool:
    functions = (node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(node.lineno < line <= (node.end_lineno or node.lineno) for node in functions)


def prints_and_exits(sources: list[Source]) -> list[str]:
    """Only the command line prints or exits: core functions return values and raise."""
    complaints = []
    for source in sources:
        if _within(source.module, SPEAKERS):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and _called(node) in ("print", "sys.exit", "exit", "quit", "os._exit"):
                complaints.append(f"{source.path}:{node.lineno}: calls {_called(node)}; return a value or raise")
            elif isinstance(node, ast.Name) and node.id == "SystemExit":
                complaints.append(f"{source.path}:{node.lineno}: names SystemExit; raise a mobile_seg.errors class")
    return complaints


def bare_folder_imports(path: str, text: str) -> list[str]:
    """`import converters` works from the repository root only: the name is `mobile_seg.converters`."""
    pattern = re.compile(r"^[\s>]*(?:from|import)\s+(converters|quantization)\b(?=\s*$|[.,]|\s+(?:import|as)\b)")
    return [
        f"{path}:{number}: {line.strip()!r}; write mobile_seg.{match[1]}"
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.match(line))
    ]


def lengths(sources: list[Source]) -> list[str]:
    """A module has at most 300 lines and a function 60 (aim for 250 and 40)."""
    complaints = []
    for source in sources:
        lines = len(source.text.splitlines())
        if lines > MODULE_LINES:
            complaints.append(f"{source.path}:1: {lines} lines, at most {MODULE_LINES}; split it by concern")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > FUNCTION_LINES:
                    complaints.append(
                        f"{source.path}:{node.lineno}: {node.name} has {size} lines, at most {FUNCTION_LINES}"
                    )
    return complaints


def missing_docstrings(sources: list[Source]) -> list[str]:
    """Every public function and class of a module says what it does."""
    return [
        f"{source.path}:{node.lineno}: {node.name} has no docstring"
        for source in sources
        for node in source.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]


def undeclared_imports(sources: list[Source], *, declared: set[str], distribution: dict[str, str]) -> list[str]:
    """Every third-party import is a dependency or an extra of pyproject.toml, not a guest of another one.

    `declared` holds distribution names in lower case; `distribution` maps import names that differ.
    """
    complaints = []
    for source in sources:
        for item in imports(source):
            name = item.name.split(".")[0]
            if name == "mobile_seg" or name in sys.stdlib_module_names:
                continue
            if distribution.get(name, name).lower() not in declared:
                complaints.append(f"{source.path}:{item.line}: imports {name}, which pyproject.toml does not declare")
    return complaints


def _within(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
