"""`mobile-seg demo`: which run it shows, that it opens the browser, and how it ends."""

import os
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobile_seg import demo_server
from mobile_seg.cli.demo import newest_run
from mobile_seg.errors import MissingExtraError, UsageError

Cli = Callable[..., Any]
Stand = Callable[..., Any]


@pytest.fixture
def served(stand_in: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """No files are looked for, and Ctrl-C comes as soon as the server runs."""
    monkeypatch.chdir(tmp_path)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_server.http.server.ThreadingHTTPServer, "serve_forever", interrupted)
    return stand_in(demo_server, "site", return_value={})


def test_it_serves_until_ctrl_c(cli: Cli, served: Any, stand_in: Stand) -> None:
    opened = stand_in(webbrowser, "open", return_value=True)
    ran = cli("demo", "runs/x", "--port", 0)
    assert ran.code == 0
    assert ran.err == "stopped\n"
    first, second = ran.out.splitlines()
    assert first.startswith("runs/x at http://127.0.0.1:")
    assert "Ctrl-C" in second
    served.assert_called_once_with("runs/x", packages=None, samples=None)
    opened.assert_called_once_with(first.rpartition(" ")[2])


def test_no_browser_is_opened_if_none_is_wanted(cli: Cli, served: Any, stand_in: Stand) -> None:
    opened = stand_in(webbrowser, "open", return_value=True)
    assert cli("demo", "runs/x", "--port", 0, "--no-browser").code == 0
    opened.assert_not_called()


def test_a_browser_that_does_not_start_is_said(cli: Cli, served: Any, stand_in: Stand) -> None:
    stand_in(webbrowser, "open", return_value=False)
    ran = cli("demo", "runs/x", "--port", 0)
    assert ran.code == 0
    assert "no browser could be started; open http://127.0.0.1:" in ran.err


def test_without_a_run_the_newest_is_shown(cli: Cli, served: Any) -> None:
    for name, time in (("old", 1000), ("new", 2000)):
        artifact = Path("runs", name, "artifacts", "x.tflite")
        artifact.parent.mkdir(parents=True)
        artifact.touch()
        os.utime(artifact, (time, time))
    Path("runs", "newer_but_empty", "artifacts").mkdir(parents=True)
    ran = cli("demo", "--port", 0, "--no-browser")
    assert ran.out.startswith(f"{Path('runs/new')} at http://")


def test_without_any_run_the_page_is_empty_and_it_is_said(cli: Cli, served: Any) -> None:
    ran = cli("demo", "--port", 0, "--no-browser")
    assert (ran.code, ran.out.partition(" at ")[0]) == (0, "the page")
    assert "drop a file into the page, or `mobile-seg quickstart` first" in ran.err
    served.assert_called_once_with(None, packages=None, samples=None)


def test_runs_that_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(UsageError, match="name the RUN"):
        newest_run(tmp_path / "runs")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--port", "no"), "--port 'no' is not a whole number"),
        (("--port", "-1"), "--port -1 is too small"),
        (("runs/x", "--samples", "nowhere"), "nowhere is not a folder"),
    ],
)
def test_misuse_exits_2(cli: Cli, served: Any, words: tuple[str, ...], says: str) -> None:
    ran = cli("demo", *words)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


def test_a_missing_package_exits_1_with_its_line(cli: Cli, served: Any) -> None:
    served.side_effect = MissingExtraError("install it with: npm ci")
    ran = cli("demo", "runs/x")
    assert (ran.code, ran.err) == (1, "error: install it with: npm ci\n")
