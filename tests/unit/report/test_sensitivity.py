"""The section that shows which layers quantization hurts: drawn to scale, worst first, only where it was measured."""

import json
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.quantization.sensitivity import Damage
from mobile_seg.report.page import Example, render
from mobile_seg.report.results import Results
from mobile_seg.report.sensitivity import MOST, LayerDamage, read, section

WORST = Damage("b07_<conv>", 20.0, 0.031, 2.5, 40.0, 20.04, "int16x8")
MILD = Damage("head_logits", 40.0, 0.0021, 0.4, 40.0, math.inf, "float")


def written(folder: Path, *damages: Damage, **changes: Any) -> Path:
    path = folder / "sensitivity.json"
    record = {"model": "net", "scheme": "int8", "layers": [damage.to_dict() for damage in damages]}
    path.write_text(json.dumps(record | changes))
    return path


def bars(markup: str) -> list[tuple[str, float]]:
    rects = re.findall(r'<rect class="(\w+)"[^>]* width="([\d.]+)%"', markup)
    return [(kind, float(width)) for kind, width in rects]


def test_what_analyze_writes_is_read(tmp_path: Path) -> None:
    worst, mild = read(written(tmp_path, WORST, MILD))
    assert worst == LayerDamage("b07_<conv>", 20.0, 40.0, 20.04, 0.031, "int16x8")
    assert (mild.output, mild.raised) == (None, "float")
    assert read(tmp_path / "none.json") == ()


def test_bars_are_as_long_as_the_errors(tmp_path: Path) -> None:
    """20 dB is an error of a tenth of the signal, 40 dB of a hundredth; none at all draws no bar."""
    text = section(read(written(tmp_path, WORST, MILD)))
    assert [kind for kind, _ in bars(text)] == ["both", "weights", "output", "both", "weights"]
    widths = [width for _, width in bars(text)]
    assert widths == pytest.approx([100.0, 10.0, 99.5, 10.0, 10.0], abs=0.1)
    assert "the longest bar is 10.00%" in text
    ET.fromstring(text)


def test_names_and_numbers_are_shown_worst_first(tmp_path: Path) -> None:
    text = section(read(written(tmp_path, WORST, MILD)))
    assert text.index("b07_&lt;conv&gt;") < text.index("head_logits")
    assert "20.0 dB, 3.10% of pixels move; raise to int16x8" in text
    assert "<conv>" not in text


def test_the_rest_is_counted(tmp_path: Path) -> None:
    text = section(read(written(tmp_path, *[MILD] * (MOST + 3))))
    assert text.count("<li>") == MOST
    assert "3 more layers do less" in text


def test_the_page_shows_the_section_where_it_was_measured(
    record: dict[str, Any], examples: list[Example], tmp_path: Path
) -> None:
    results = Results.from_dict(record)
    without, shown = (render(results, examples, layers=layers) for layers in ((), read(written(tmp_path, WORST, MILD))))
    assert 'id="sensitivity"' not in without
    assert "sensitivity.json" not in without
    assert shown.count('<section id="sensitivity">') == 1
    assert "or from <code>sensitivity.json</code> beside it.</footer>" in shown
    assert shown.index('id="artifacts"') < shown.index('id="sensitivity"') < shown.index('id="training"')


def test_all_layers_without_error_draw_nothing(tmp_path: Path) -> None:
    perfect = Damage("conv", math.inf, 0.0, 0.0, math.inf, math.inf, None)
    text = section(read(written(tmp_path, perfect)))
    assert bars(text) == []
    assert "no error, 0.00% of pixels move<" in text


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"layers": None}, ProfileError, "'sensitivity.layers' is missing"),
        ({"layers": [{"layer": "a", "largest": 1.0}]}, ProfileError, "layers.0.disagreement"),
        ({"layers": [WORST.to_dict() | {"disagreement": 3.1}]}, UsageError, "give a fraction"),
        ({"layers": [WORST.to_dict() | {"sqnr_db": "much"}]}, UsageError, "layers.0.sqnr_db must be a plain number"),
        ({"extra": 1}, UsageError, "unknown key"),
    ],
)
def test_a_damaged_record_is_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        read(written(tmp_path, WORST, **changes))


def test_text_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sensitivity.json"
    path.write_text("{")
    with pytest.raises(UsageError, match="write it with `mobile-seg quantize --analyze`"):
        read(path)
