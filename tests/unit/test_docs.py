"""The generated pages and pictures of docs/ are what the code says."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "generate.py"


def test_generated_pages_are_up_to_date(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert left.value.code == 0, capsys.readouterr().out


@pytest.mark.slow
def test_generated_pictures_are_up_to_date() -> None:
    script = runpy.run_path(str(SCRIPT))
    drawn = {path.stem: path.read_text(encoding="utf-8") for path in (SCRIPT.parent / "images/networks").iterdir()}
    assert drawn.keys() == set(script["GALLERY"])
    assert [name for name, text in drawn.items() if script["picture"](name) != text] == []
