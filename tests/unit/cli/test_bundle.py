"""`mobile-seg bundle`: what it says, and how it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobile_seg import bundling
from mobile_seg.bundling import Bundled

Cli = Callable[..., Any]
Stand = Callable[..., Any]


def test_it_says_what_went_where(cli: Cli, stand_in: Stand) -> None:
    done = Bundled(Path("android_demo/app/src/main/assets/models"), ("a.tflite", "b.tflite"), ("old.tflite",))
    bundle = stand_in(bundling, "bundle", return_value=done)
    ran = cli("bundle", "runs/x", "--app", "android")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "2 models in android_demo/app/src/main/assets/models:",
        "  a.tflite",
        "  b.tflite",
        "no longer there:",
        "  old.tflite",
    ]
    bundle.assert_called_once_with("runs/x", app="android", folder=None)


def test_it_says_what_the_app_does_not_run(cli: Cli, stand_in: Stand) -> None:
    done = Bundled(Path("ios_demo/App/Resources/Models"), ("a.mlpackage",), (), ("a.tflite",))
    stand_in(bundling, "bundle", return_value=done)
    assert cli("bundle", "runs/x", "--app", "ios").out.splitlines()[-2:] == [
        "left out, this app does not run them:",
        "  a.tflite",
    ]


def test_the_web_says_what_is_left_to_do(cli: Cli, stand_in: Stand) -> None:
    stand_in(bundling, "bundle", return_value=Bundled(Path("site/models"), ("a.tflite",), ()))
    ran = cli("bundle", "runs/x", "--app", "web", "--to", "site")
    assert ran.out.splitlines()[:2] == ["1 model in site/models:", "  a.tflite"]
    assert ran.out.splitlines()[-2:] == [
        "  npm ci --omit=dev --ignore-scripts --prefix site",
        "  mobile-seg demo runs/x",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("runs/x",), "--app"),
        (("--app", "android"), "RUN"),
        (("runs/x", "--app", "andriod"), "Did you mean 'android'"),
        (("nowhere", "--app", "android"), "nowhere does not exist"),
    ],
)
def test_misuse_exits_2(cli: Cli, words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("bundle", *words)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1
