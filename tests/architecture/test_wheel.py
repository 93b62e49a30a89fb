"""The wheel holds the whole package and installs one name: pip would let `converters` overwrite a stranger's."""

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from architecture.rules import FOLDERS, ROOT, python_files


def expected_modules() -> set[str]:
    """Return the path in the wheel of every Python file of the package's folders."""
    return {
        f"{prefix.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, prefix in FOLDERS.items()
        for path in python_files(ROOT / folder)
    }


def complaints(names: list[str], *, modules: set[str]) -> list[str]:
    """Return what a wheel with these members lacks and what it holds beyond `modules`."""
    found = {name for name in names if name.endswith(".py")}
    top = {name.split("/")[0] for name in names}
    return [
        *(f"lacks {name}: list its folder under [tool.setuptools] packages" for name in sorted(modules - found)),
        *(f"holds {name}, which the checkout does not" for name in sorted(found - modules)),
        *(
            f"installs {name} at the top level"
            for name in sorted(top)
            if name != "mobile_seg" and "dist-info" not in name
        ),
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build the wheel from a copy, so that no build folder of the checkout leaks into it."""
    if int(importlib.metadata.version("setuptools").split(".")[0]) < 77:
        pytest.skip("building needs setuptools>=77; `make test` installs it")
    copy = tmp_path_factory.mktemp("checkout")
    for folder in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=ignore)
    shutil.copytree(ROOT / "web_demo", copy / "web_demo", ignore=shutil.ignore_patterns("node_modules", "models"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    built = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = Path(copy, "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_is_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    assert complaints(wheel.namelist(), modules=expected_modules()) == []


def test_the_wheel_carries_its_types_and_licence(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "mobile_seg/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.parametrize(
    ("folder", "suffixes"), [("report", ("html", "css", "js")), ("models", ("json",)), ("profiling", ("toml", "c"))]
)
def test_the_wheel_carries_what_is_no_python(folder: str, suffixes: tuple[str, ...], wheel: zipfile.ZipFile) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for suffix in suffixes
        for path in (ROOT / "mobile_seg" / folder).rglob(f"*.{suffix}")
    }
    assert {path.rsplit(".")[-1] for path in files} == set(suffixes)
    assert files <= set(wheel.namelist())


def test_the_wheel_carries_the_web_page(wheel: zipfile.ZipFile) -> None:
    page = {"index.html", "style.css", "icon.svg", "package.json", "package-lock.json"}
    page |= {f"js/{path.name}" for path in (ROOT / "web_demo" / "js").glob("*.js")}
    assert {f"mobile_seg/web_demo/{name}" for name in page} <= set(wheel.namelist())


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["mobile_seg/__init__.py"], "lacks mobile_seg/data/__init__.py"),
        (["mobile_seg/__init__.py", "mobile_seg/data/__init__.py", "mobile_seg/old.py"], "holds mobile_seg/old.py"),
        (["mobile_seg/__init__.py", "mobile_seg/data/__init__.py", "converters/x.txt"], "installs converters"),
    ],
)
def test_a_bad_wheel_is_found(names: list[str], complaint: str) -> None:
    modules = {"mobile_seg/__init__.py", "mobile_seg/data/__init__.py"}
    (found,) = complaints([*names, "mobile_seg-1.dist-info/METADATA"], modules=modules)
    assert found.startswith(complaint)
