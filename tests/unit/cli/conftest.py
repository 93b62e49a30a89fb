"""The command line called in this process, with what it printed."""

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import pytest
from unit.report.conftest import record  # noqa: F401  a valid results.json value, as a fixture

from mobile_seg.cli.main import main


class Ran(NamedTuple):
    """Exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run `mobile-seg` with these words."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")  # main() sets it where it is not set: put back after the test

    def run(*words: object) -> Ran:
        code = main([str(word) for word in words])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., mock.Mock]:
    """Put an autospecced mock in the place of a function: wrong arguments are a TypeError."""

    def put(module: Any, name: str, **what: Any) -> mock.Mock:
        double: mock.Mock = mock.create_autospec(getattr(module, name), **what)
        monkeypatch.setattr(module, name, double)
        return double

    return put
