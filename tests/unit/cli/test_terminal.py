"""Progress on a terminal and off it, and tables."""

import io
import os
import subprocess
import sys

import pytest

from mobile_seg.cli.terminal import Progress, megabytes, percent, table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def drive() -> None:
    """Two trainings and three evaluations, as a job reports them; the last one breaks off."""
    with Progress() as progress:
        for phase in ("float", "qat"):
            for step in (20, 40, 60):
                progress(step, 60, f"{phase} loss {1 / step:.3f}")
        for name, last in (("a", 3), ("b", 3), ("c", 2)):
            for done in range(1, last + 1):
                progress(done, 3, f"evaluating {name}")


def test_off_a_terminal_each_finished_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    drive()
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line.rsplit(" in ", 1) for line in err.splitlines()]
    assert [what for what, _ in lines] == [
        "float loss 0.017: 60",
        "qat loss 0.017: 60",
        "evaluating a: 3",
        "evaluating b: 3",
    ]
    assert all(time.endswith(" s") for _, time in lines)


def test_on_a_terminal_each_stage_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    drive()
    bars = [line.split("\r")[-1] for line in terminal.getvalue().rstrip("\n").split("\n")]
    assert [bar.split(":")[0] for bar in bars] == [
        "float loss 0.017",
        "qat loss 0.017",
        "evaluating a",
        "evaluating b",
        "evaluating c",
    ]
    assert "60/60" in bars[0]
    assert "2/3" in bars[4]
    assert "\x1b[3" not in terminal.getvalue()  # no colour


def test_a_terminal_that_does_not_tell_its_width_still_gets_bars() -> None:
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()  # of 0 columns, as in a container
    code = "from mobile_seg.cli.terminal import Progress\nwith Progress() as tell:\n    tell(3, 3, 'drawing')"
    subprocess.run([sys.executable, "-c", code], stderr=follower, check=True)
    shown = os.read(leader, 10_000).decode()
    for end in (leader, follower):
        os.close(end)
    assert "drawing: 100%" in shown
    assert "3/3" in shown


def test_a_resumed_stage_starts_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress() as progress:
        progress(80, 100, "float")
    assert "80/100" in terminal.getvalue()


def test_tables_align_text_left_and_numbers_right() -> None:
    rows = [("road", "7.00%"), ("a tree", "12.50%")]
    assert table(rows, header=("class", "IoU")) == ["class      IoU", "road     7.00%", "a tree  12.50%"]


def test_units() -> None:
    assert (percent(0.12345), percent(None), megabytes(1_234_567)) == ("12.35%", "–", "1.23 MB")
