"""The house rules hold over the package, and each rule can fail."""

import re
import sys
from collections.abc import Callable

import pytest

from architecture import rules
from architecture.rules import ROOT, Source

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCES = rules.package_sources()

IMPORT_NAMES = {
    "cv2": "opencv-python",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "ai_edge_litert": "ai-edge-litert",
    "tensorflow_model_optimization": "tensorflow-model-optimization",
}


def declared_distributions() -> set[str]:
    """Return the distributions that pyproject.toml lists, extras for developers left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "dev"}
    lines = [*project["dependencies"], *(line for group in extras.values() for line in group)]
    return {re.split(r"[\[<>=!~;\s]", line, maxsplit=1)[0].lower() for line in lines}


def test_the_whole_package_is_read() -> None:
    names = {source.module for source in SOURCES}
    assert {"mobile_seg", "mobile_seg.errors", "mobile_seg.converters", "mobile_seg.quantization"} <= names


@pytest.mark.parametrize(
    "rule",
    [
        rules.import_directions,
        rules.tensorflow_imports,
        rules.prints_and_exits,
        rules.lengths,
        rules.missing_docstrings,
    ],
    ids=lambda rule: rule.__name__,
)
def test_rule_holds(rule: Callable[[list[Source]], list[str]]) -> None:
    complaints = rule(SOURCES)
    assert not complaints, f"{rule.__doc__}\n" + "\n".join(complaints)


def test_every_third_party_import_is_declared() -> None:
    complaints = rules.undeclared_imports(SOURCES, declared=declared_distributions(), distribution=IMPORT_NAMES)
    assert not complaints, "\n".join(complaints)


def test_nothing_imports_the_folders_by_their_bare_names() -> None:
    texts = [*rules.python_files(ROOT), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    complaints = [
        complaint
        for path in texts
        for complaint in rules.bare_folder_imports(str(path.relative_to(ROOT)), path.read_text("utf-8"))
    ]
    assert not complaints, "\n".join(complaints)


def package(**texts: str) -> list[Source]:
    """Return sources as small as a rule needs; `data__x` stands for `mobile_seg.data.x`."""
    sources = [
        Source("mobile_seg", "mobile_seg/__init__.py", ""),
        Source("mobile_seg.errors", "mobile_seg/errors.py", ""),
    ]
    for key, text in texts.items():
        name = key.replace("__", ".")
        sources.append(Source(f"mobile_seg.{name}", f"mobile_seg/{name.replace('.', '/')}.py", text))
    return sources


@pytest.mark.parametrize(
    "texts",
    [
        {"errors2": "from mobile_seg.data import reader"},
        {"data__reader": "import mobile_seg.models"},
        {"data__reader": "from mobile_seg import models"},
        {"data__reader": "from ..models import registry"},
        {"data__reader": "def read():\n    from mobile_seg.training import fit"},
        {"data__reader": "import importlib\nimportlib.import_module('mobile_seg.cli')"},
        {"converters__tflite": "from mobile_seg.models.registry import build"},
        {"report__page": "import mobile_seg"},
        {"api": "import mobile_seg.cli.main"},
        {"attic__box": ""},
    ],
)
def test_an_import_against_the_direction_is_found(texts: dict[str, str]) -> None:
    assert len(rules.import_directions(package(**texts))) == 1


@pytest.mark.parametrize(
    "texts",
    [
        {"data__reader": "from mobile_seg.errors import DatasetError\nfrom mobile_seg import errors\nimport numpy"},
        {"data__reader": "from . import pairs\nfrom .pairs import match", "data__pairs": ""},
        {"training__fit": "from mobile_seg.data import reader\nfrom mobile_seg.quantization import rewrite"},
        {"job": "from mobile_seg.report import page"},
        {"cli__main": "from mobile_seg import api, build\nfrom mobile_seg.search import latency", "api": ""},
    ],
)
def test_an_import_along_the_direction_is_not(texts: dict[str, str]) -> None:
    assert rules.import_directions(package(**texts)) == []


@pytest.mark.parametrize("exception", rules.EXCEPTIONS, ids=" → ".join)
def test_an_exception_is_still_needed(exception: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(rules.EXCEPTIONS, exception)
    assert rules.import_directions(SOURCES), "nothing uses this exception any more; remove it"


@pytest.mark.parametrize("text", ["import tensorflow as tf", "def f():\n    from tensorflow.lite import Interpreter"])
def test_tensorflow_is_found_where_training_happens_only(text: str) -> None:
    assert len(rules.tensorflow_imports(package(models__spinenet=text))) == 1
    assert rules.tensorflow_imports(package(converters__tflite=text)) == []


def test_the_bridge_imports_tensorflow_where_it_is_called_for_only() -> None:
    inside, outside = "def f():\n    import tensorflow as tf", "import tensorflow as tf\ndef f():\n    pass"
    assert rules.tensorflow_imports(package(quantization__tfmot_train=inside)) == []
    assert len(rules.tensorflow_imports(package(quantization__tfmot_train=outside))) == 1
    assert len(rules.tensorflow_imports(package(quantization__rewrite=inside))) == 1


def test_the_bridge_needs_its_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in rules.TENSORFLOW_ONLY:
        monkeypatch.setattr(rules, "TENSORFLOW_ONLY", tuple(m for m in rules.TENSORFLOW_ONLY if m != module))
        assert rules.tensorflow_imports(SOURCES), f"{module} no longer imports TensorFlow; take it off the list"
        monkeypatch.undo()


@pytest.mark.parametrize("text", ["print('done')", "import sys\nsys.exit(1)", "raise SystemExit(1)"])
def test_prints_and_exits_are_found_outside_the_command_line(text: str) -> None:
    assert len(rules.prints_and_exits(package(report__page=text))) == 1
    assert rules.prints_and_exits(package(cli__main=text)) == []
    assert rules.prints_and_exits(package(profiling__worker=text)) == []


def test_a_module_or_a_function_that_is_too_long_is_found() -> None:
    long_function = "def f():\n" + "    x = 1\n" * rules.FUNCTION_LINES
    assert len(rules.lengths(package(files=long_function))) == 1
    assert len(rules.lengths(package(files="x = 1\n" * (rules.MODULE_LINES + 1)))) == 1
    assert rules.lengths(package(files="x = 1\n" * rules.MODULE_LINES)) == []


def test_a_public_name_without_a_docstring_is_found() -> None:
    text = 'def f():\n    """Do."""\n\ndef g():\n    pass\n\nclass C:\n    pass\n\ndef _h():\n    pass\n'
    assert [line.split(": ")[1] for line in rules.missing_docstrings(package(files=text))] == [
        "g has no docstring",
        "C has no docstring",
    ]


def test_an_undeclared_import_is_found() -> None:
    sources = package(files="import os\nimport cv2\nimport scipy.ndimage\nfrom mobile_seg import errors")
    complaints = rules.undeclared_imports(sources, declared={"opencv-python"}, distribution=IMPORT_NAMES)
    assert len(complaints) == 1
    assert "scipy" in complaints[0]


@pytest.mark.parametrize(
    "line",
    [
        "import converters",
        "import quantization as q",
        "    from quantization import scheme",
        "from converters.tflite import convert",
    ],
)
def test_a_bare_folder_import_is_found(line: str) -> None:
    assert len(rules.bare_folder_imports("x.py", f"import os\n{line}\n")) == 1


@pytest.mark.parametrize(
    "line",
    ["from mobile_seg.converters import tflite", "import converters_of_others", "from quantization on, it holds"],
)
def test_what_only_looks_like_one_is_not(line: str) -> None:
    assert rules.bare_folder_imports("x.md", line) == []
