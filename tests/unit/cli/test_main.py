"""What holds for every command: start-up weight, help, misuse, failures, interruption."""

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from mobile_seg import api
from mobile_seg.cli import main as cli_main
from mobile_seg.cli.main import COMMANDS
from mobile_seg.cli.quiet import quiet_libraries
from mobile_seg.errors import ArtifactError, MobileSegError, UsageError

Cli = Callable[..., Any]

HEAVY = ("tensorflow", "keras", "jax", "cv2", "numpy", "ai_edge_litert", "PIL")
LOADED = f"print(sorted({{name.split('.')[0] for name in sys.modules}} & set({HEAVY})), file=sys.stderr)"


def python(code: str, *, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run code in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, input=stdin)


@pytest.mark.parametrize(
    "words", [*([name, "--help"] for name in COMMANDS), ["trian"], ["eval"], ["run", "--input", "1"], ["--version"]]
)
def test_help_and_misuse_load_nothing_heavy(words: list[str]) -> None:
    done = python(f"import sys\nfrom mobile_seg.cli.main import main\nmain({words})\n{LOADED}")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_heavy_import_would_be_seen() -> None:
    assert python(f"import sys, numpy\n{LOADED}").stderr.strip() == "['numpy']"


def test_help_names_every_command(cli: Cli) -> None:
    ran = cli("--help")
    assert (ran.code, ran.err) == (0, "")
    for name in COMMANDS:
        assert f"\n    {name}" in ran.out


def test_help_shows_the_defaults_where_they_are_defined(cli: Cli) -> None:
    shown = " ".join(cli("run", "--help").out.split())
    assert f"steps of training (default: {api.FLOAT_RECIPE.steps})" in shown
    assert f"steps of quantization-aware training (default: {api.QAT_RECIPE.steps})" in shown
    assert f"learning rate of quantization-aware training (default: {api.QAT_RECIPE.learning_rate})" in shown


@pytest.mark.parametrize("module", ["mobile_seg", "mobile_seg.cli.main"])
def test_python_m_works(module: str) -> None:
    code = f"import runpy, sys\nsys.argv = ['x', 'models', '--help']\nrunpy.run_module({module!r}, run_name='__main__')"
    done = python(code)
    assert done.returncode == 0
    assert ("usage: mobile-seg models" in done.stdout) is (module == "mobile_seg")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prdict"], "unknown command 'prdict'. Did you mean predict?"),
        (["xyz"], "Choose from quickstart, run, train"),
        ([], "required: COMMAND; see `mobile-seg --help`"),
        (["run", "--stpes", "3"], "unknown option '--stpes'. Did you mean --steps? See `mobile-seg run --help`."),
        (["run", "--step", "3"], "unknown option '--step'. Did you mean --steps?"),
        (["eval", "x.tflite"], "the following arguments are required: --data; see `mobile-seg eval --help`"),
        (["models", "spinenet_49", "more"], "unrecognized arguments: more"),
        (["train", "--input", "256"], "input size '256' is not HEIGHTxWIDTH in pixels; write it like 256x352."),
        (["train", "--model", "mobile_spinenet_s4"], "Did you mean 'mobile_spinenet_s49'?"),
        (["train", "--steps", "many"], "--steps 'many' is not a whole number; write it like --steps 2."),
        (["train", "--steps", "0"], "--steps 0 is too small; give at least 1."),
        (["train", "--lr", "nan"], "--lr nan is out of range; give 0 or more."),
        (["train", "--lr", "fast"], "--lr 'fast' is not a number"),
        (["train", "--name", "a/b"], "--name 'a/b' must be one folder name"),
        (["train", "--aspp-rates", "6,x"], "write it like --aspp-rates 6,12,18."),
        (["run", "--threads", "1,1"], "--threads '1,1' names a value twice"),
        (["run", "--threads", "0"], "not a list of positive whole numbers"),
        (["export", "m.keras", "--precision", "int8,int4"], "--precision='int4' is not known"),
        (["export", "m.keras", "--output", "logit"], "Did you mean 'logits'?"),
        (["predict", "m.tflite", "x", "--opacity", "2"], "--opacity 2 is out of range; give 0 to 1."),
        (["profile", "m.tflite", "--device", "hots"], "--device 'hots' is not known"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(cli: Cli, words: list[str], said: str) -> None:
    ran = cli(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Callable[..., Any]:
    """Run `eval` with `api.evaluate` raising."""

    def run(error: BaseException, *more: str) -> Any:
        monkeypatch.setattr(api, "evaluate", mock.create_autospec(api.evaluate, side_effect=error))
        return cli("eval", "x.tflite", "--data", "d.yaml", *more)

    return run


@pytest.mark.parametrize(("error", "code"), [(ArtifactError("cut short; export it"), 1), (UsageError("no; yes"), 2)])
def test_our_errors_are_one_line_with_their_exit_code(failing: Cli, error: MobileSegError, code: int) -> None:
    ran = failing(error)
    assert (ran.code, ran.out, ran.err) == (code, "", f"error: {error}\n")


def test_an_unforeseen_error_is_one_line_naming_its_type(failing: Cli) -> None:
    ran = failing(ZeroDivisionError("of pixels\nby classes"))
    assert ran.code == 1
    expected = "error: unexpected ZeroDivisionError: of pixels; run it again with --debug for the traceback\n"
    assert ran.err == expected


def test_a_package_that_does_not_load_points_to_the_doctor(failing: Cli) -> None:
    ran = failing(ImportError("libGL.so.1: cannot open shared object file"))
    assert ran.code == 1
    assert ran.err.startswith("error: libGL.so.1: cannot open shared object file; `mobile-seg doctor`")


def test_debug_shows_the_traceback(failing: Cli) -> None:
    ran = failing(ZeroDivisionError("here"), "--debug")
    assert ran.code == 1
    assert "Traceback (most recent call last)" in ran.err
    assert ran.err.endswith("error: unexpected ZeroDivisionError: here\n")


def test_interruption_says_how_to_go_on(failing: Cli, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = failing(KeyboardInterrupt())
    assert (ran.code, ran.err) == (
        130,
        "interrupted: no file is left half-written; give the same command again to start over\n",
    )
    words = [
        "train",
        "--data",
        "d.yaml",
        "--model",
        "mobile_spinenet_s49",
        "--input",
        "64x64",
        "--runs-dir",
        "/nowhere",
    ]
    for told, said in (
        ((), "interrupted: the same command with --resume goes on from the last checkpoint\n"),
        (("stopped after step 4; go on with --resume",), "interrupted: stopped after step 4; go on with --resume\n"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(api, "train", mock.create_autospec(api.train, side_effect=KeyboardInterrupt(*told)))
            ran = cli(*words)
        assert (ran.code, ran.err) == (130, said)


def test_ctrl_c_from_outside() -> None:
    code = (
        "import functools, os, sys\n"
        "from mobile_seg import api\n"
        "from mobile_seg.cli.main import main\n"
        f"interrupted = lambda *a, **k: os.kill(os.getpid(), {int(signal.SIGINT)})\n"
        "api.evaluate = functools.wraps(api.evaluate)(interrupted)\n"
        "sys.exit(main(['eval', 'x', '--data', 'y']))"
    )
    done = python(code)
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"]])
def test_a_reader_that_leaves_early_is_no_error(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "mobile_seg", *words], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (cli_main.BROKEN_PIPE, "")


def test_tensorflow_is_told_to_be_quiet_unless_debugging(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    seen = []
    evaluate = mock.create_autospec(
        api.evaluate, side_effect=lambda *a, **k: seen.append(os.environ["TF_CPP_MIN_LOG_LEVEL"])
    )
    monkeypatch.setattr(api, "evaluate", evaluate)
    for more in ((), ("--debug",)):
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
        cli("eval", "x.tflite", "--data", "d.yaml", *more)
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    assert seen == ["3", "0"]


NATIVE = """
import os, sys
from mobile_seg.cli.quiet import quiet_libraries
print("before", file=sys.stderr)
with quiet_libraries(enabled={enabled}):
    os.write(2, b"INFO: native chatter\\n")
    print("ours", file=sys.stderr)
    {then}
os.write(2, b"after\\n")
"""


def test_native_output_is_hidden_and_ours_is_not() -> None:
    assert python(NATIVE.format(enabled=True, then="pass")).stderr == "before\nours\nafter\n"
    assert "native chatter" in python(NATIVE.format(enabled=False, then="pass")).stderr


def test_a_native_crash_is_still_seen() -> None:
    done = python(NATIVE.format(enabled=True, then="os.abort()"))
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in done.stderr


def test_quiet_leaves_no_descriptor_open() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    with warnings.catch_warnings(), quiet_libraries(enabled=True):
        warnings.simplefilter("ignore", ResourceWarning)
    before = count()
    with quiet_libraries(enabled=True):
        pass
    assert count() == before


def test_without_a_standard_error_commands_still_run() -> None:
    code = "import os\nos.close(2)\nfrom mobile_seg.cli.main import main\nprint(main(['models', '--nope']))"
    assert python(code).stdout == "2\n"
