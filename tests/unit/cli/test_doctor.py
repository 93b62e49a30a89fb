"""The doctor, over installations that lack something."""

import importlib.metadata
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from mobile_seg.cli import doctor
from mobile_seg.cli.requirements import Requirement, parse_requirement, satisfies

Cli = Callable[..., Any]

REQUIRES = ["keras<3.16,>=3.12", "opencv-python<6,>=4.10", "tqdm>=4.66", 'jax<1,>=0.6; extra == "jax"']
REQUIRES += ['pytest>=8; extra == "dev"']
INSTALLED = {"mobile-seg": "0.1.0", "keras": "3.15.1", "opencv-python": "5.0.0.93", "tqdm": "4.70", "jax": "0.7.1"}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What pip would list; every import works. Change it to break the installation."""
    versions = dict(INSTALLED)

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    def requires(name: str) -> list[str]:
        version(name)
        return REQUIRES

    def metadata(name: str) -> dict[str, str]:
        version(name)
        return {"Requires-Python": ">=3.10,<3.99"}

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", requires)
    monkeypatch.setattr(importlib.metadata, "metadata", metadata)
    monkeypatch.setattr(doctor, "run_python", lambda code: (True, "loads"))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    return versions


def rows(cli: Cli, *, code: int) -> dict[str, dict[str, Any]]:
    ran = cli("doctor", "--json")
    assert ran.code == code
    value = json.loads(ran.out)
    assert value["ok"] is (code == 0)
    return {row["name"]: row for row in value["checks"]}


def test_a_healthy_installation(cli: Cli, installed: dict[str, str]) -> None:
    found = rows(cli, code=0)
    assert found["keras"] == {"name": "keras", "ok": True, "found": "3.15.1 (needs <3.16,>=3.12)", "fix": None}
    assert found["extra [jax]"]["ok"] is True
    assert "pytest" not in found
    assert float(found["free disk"]["found"].split()[0]) > 0
    assert cli("doctor").out.splitlines()[-1] == "  mobile-seg quickstart"


def test_a_missing_package_hides_no_other(cli: Cli, installed: dict[str, str]) -> None:
    del installed["keras"]
    found = rows(cli, code=1)
    assert found["keras"] == {
        "name": "keras",
        "ok": False,
        "found": "not installed (needs <3.16,>=3.12)",
        "fix": "pip install 'keras<3.16,>=3.12'",
    }
    assert found["tqdm"]["ok"] is True
    out = cli("doctor").out
    assert "  pip install 'keras<3.16,>=3.12'\n" in out
    assert "mobile-seg quickstart" not in out


@pytest.mark.parametrize("version", ["3.11.9", "3.16.0", "4.0"])
def test_a_version_out_of_range(cli: Cli, installed: dict[str, str], version: str) -> None:
    installed["keras"] = version
    assert rows(cli, code=1)["keras"]["ok"] is False


def test_a_missing_extra_is_no_failure_but_has_its_line(cli: Cli, installed: dict[str, str]) -> None:
    del installed["jax"]
    row = rows(cli, code=0)["extra [jax]"]
    assert (row["ok"], row["fix"]) == (None, "pip install 'mobile-seg[jax]'")
    assert "optional:\n  pip install 'mobile-seg[jax]'" in cli("doctor").out


def test_headless_opencv_will_do(cli: Cli, installed: dict[str, str]) -> None:
    del installed["opencv-python"]
    installed["opencv-python-headless"] = "4.11"
    row = rows(cli, code=0)["opencv-python"]
    assert (row["ok"], row["found"]) == (True, "opencv-python-headless 4.11 (needs <6,>=4.10)")
    installed["opencv-python-headless"] = "4.9"
    assert rows(cli, code=1)["opencv-python"]["ok"] is False


def test_not_installed_itself(cli: Cli, installed: dict[str, str]) -> None:
    del installed["mobile-seg"]
    found = rows(cli, code=1)
    assert found["mobile-seg"]["ok"] is False
    assert found["Keras"]["ok"] is True


def test_a_library_without_the_systems_libgl(
    cli: Cli, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
    monkeypatch.setattr(doctor, "run_python", lambda code: (False, reason) if "cv2" in code else (True, "loads"))
    row = rows(cli, code=1)["OpenCV (cv2)"]
    assert row["found"] == reason
    assert "apt-get install libgl1" in row["fix"]
    assert "pip install opencv-python-headless" in row["fix"]


def test_a_check_that_breaks_is_one_line(cli: Cli, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(code: str) -> tuple[bool, str]:
        raise RuntimeError("no processes left")

    monkeypatch.setattr(doctor, "run_python", broken)
    found = rows(cli, code=1)
    assert found["opencv"]["found"] == "the check itself failed: RuntimeError: no processes left"
    assert found["tqdm"]["ok"] is True


@pytest.mark.parametrize(("value", "code"), [("jax", 0), ("torch", 1), (None, 0)])
def test_the_backend(
    cli: Cli, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, value: str | None, code: int
) -> None:
    if value is None:
        monkeypatch.delenv("KERAS_BACKEND")
    else:
        monkeypatch.setenv("KERAS_BACKEND", value)
    found = rows(cli, code=code)
    assert (value or "not set") in found["KERAS_BACKEND"]["found"]
    assert ("JAX devices" in found) is (value == "jax")


def test_a_process_of_its_own_tells_loading_failing_and_crashing_apart() -> None:
    assert doctor.run_python("print('a'); print('b')") == (True, "b")
    ok, said = doctor.run_python("import not_there")
    assert (ok, said) == (False, "ModuleNotFoundError: No module named 'not_there'")
    ok, said = doctor.run_python("import os; os.abort()")
    assert (ok, said.startswith("crashes when loaded")) == (False, True)


def test_the_interpreter_check_opens_a_model() -> None:
    assert doctor.run_python(doctor.LITERT) == (True, "opens a model")
    ok, said = doctor.run_python(doctor.LITERT.replace("TFL3", "TFLX"))
    assert not ok
    assert "ValueError" in said


def test_opencv_really_loads_here() -> None:
    assert [(check.ok, check.found) for check in doctor._opencv()] == [(True, "loads")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("numpy", Requirement("numpy", "", None, True)),
        ("keras<3.16,>=3.12", Requirement("keras", "<3.16,>=3.12", None, True)),
        ("keras (>=3.12)", Requirement("keras", ">=3.12", None, True)),
        ('jax<1,>=0.6; extra == "jax"', Requirement("jax", "<1,>=0.6", "jax", True)),
        ('a; python_version < "3.0"', Requirement("a", "", None, False)),
        ("a; sys_platform != \"nowhere\" and extra == 'x'", Requirement("a", "", "x", True)),
    ],
)
def test_requirement_lines(line: str, expected: Requirement) -> None:
    assert parse_requirement(line) == expected


@pytest.mark.parametrize("line", ["", "a @ https://x", 'a; os_name == "nt"', 'a; extra == "x" or extra == "y"'])
def test_requirement_lines_that_are_not_understood(line: str) -> None:
    with pytest.raises(ValueError, match="requirement"):
        parse_requirement(line)


@pytest.mark.parametrize(
    ("version", "clauses", "expected"),
    [
        ("3.15.1", ">=3.12,<3.16", True),
        ("3.9", ">=3.12", False),
        ("3.12", ">=3.12.0", True),
        ("2.21.0rc1", "<2.22", True),
        ("2.22", "<2.22", False),
        ("1.0", "==1", True),
        ("1.0", "!=1.0.0", False),
        ("5", "", True),
    ],
)
def test_versions(version: str, clauses: str, expected: bool) -> None:
    assert satisfies(version, clauses) is expected


@pytest.mark.parametrize(("version", "clauses"), [("x", ">=1"), ("1", "~=1.0"), ("1", ">=1.*")])
def test_versions_that_are_not_understood(version: str, clauses: str) -> None:
    with pytest.raises(ValueError, match="version"):
        satisfies(version, clauses)


@pytest.mark.skipif("MOBILE_SEG_INSTALLED" not in os.environ, reason="only `make test` installs the wheel first")
def test_this_very_installation() -> None:
    checks = {check.name: check for check in [*doctor._python(), *doctor._packages(), *doctor._extras()]}
    assert {"Python", "mobile-seg", "keras", "ai-edge-litert", "tensorflow"} <= set(checks)
    assert [check for check in checks.values() if check.ok is False] == []
