"""`mobile-seg quantize`: every option reaches the API, and what was found is printed."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobile_seg import api
from mobile_seg.quantization.scheme import SCHEMES
from mobile_seg.quantization.sensitivity import Damage

Cli = Callable[..., Any]
Stand = Callable[..., Any]

DEFAULTS = {
    "scheme": "int8",
    "keep": None,
    "ranges": "average",
    "method": "average",
    "equalize": False,
    "correct_bias": False,
    "max_drop": None,
}

RANKING = (
    Damage("b00_act", 18.42, 0.0312, 1.5, 33.0, 18.5, "int16x8"),
    Damage("sum", 40.0, 0.0021, 0.2, math.inf, 40.0, None),
)


@pytest.fixture
def quantize(stand_in: Stand, tmp_path: Path) -> Any:
    return stand_in(api, "quantize", return_value=tmp_path / "model_qat.keras")


def test_defaults_are_the_api_s(cli: Cli, quantize: Any, tmp_path: Path) -> None:
    assert cli("quantize", tmp_path / "m.keras", "--data", "d.yaml").code == 0
    given = quantize.call_args.kwargs
    assert {name: given[name] for name in DEFAULTS} == DEFAULTS


def test_every_option_is_handed_over(cli: Cli, quantize: Any, tmp_path: Path) -> None:
    words = ["--scheme", "int16x8", "--calibration", "mse", "--ranges", "learned", "--equalize", "--correct-bias"]
    ran = cli(
        *("quantize", tmp_path / "m.keras", "--data", "d.yaml", "--keep", "a=float", "b=int16x8", *words),
        *("--keep", "c=float"),
    )
    assert ran.code == 0
    given = quantize.call_args.kwargs
    assert {name: given[name] for name in DEFAULTS} == {
        "scheme": "int16x8",
        "keep": {"a": "float", "b": "int16x8", "c": "float"},
        "ranges": "learned",
        "method": "mse",
        "equalize": True,
        "correct_bias": True,
        "max_drop": None,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scheme", "int4"), "--scheme='int4' is not known; choose from int8"),
        (("--keep", "head"), "--keep 'head' is not LAYER=KIND; write it like --keep head_logits=float"),
        (("--keep", "=float"), "is not LAYER=KIND"),
        (("--max-drop", "-1"), "--max-drop -1 is out of range"),
        (("--max-drop", "half"), "--max-drop 'half' is not a number"),
        (("--analyze", "--max-drop", "1"), "--analyze only ranks and --max-drop quantizes"),
    ],
)
def test_wrong_values_are_refused_before_anything_runs(
    cli: Cli, quantize: Any, words: tuple[str, ...], said: str
) -> None:
    ran = cli("quantize", "m.keras", "--data", "d.yaml", *words)
    assert ran.code == 2
    assert said in ran.err
    assert not quantize.called


def test_analyze_prints_the_ranking_and_does_not_quantize(
    cli: Cli, stand_in: Stand, quantize: Any, tmp_path: Path
) -> None:
    analyze = stand_in(api, "analyze", return_value=RANKING)
    ran = cli("quantize", tmp_path / "m.keras", "--data", "d.yaml", "--analyze", "--scheme", "w8", "--equalize")
    assert ran.code == 0
    assert not quantize.called
    given = analyze.call_args.kwargs
    assert (given["folder"], given["scheme"], given["equalize"], given["keep"]) == (tmp_path, "w8", True, None)
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[1] == ["b00_act", "18.4", "dB", "33.0", "dB", "18.5", "dB", "3.12%", "int16x8"]
    assert lines[2] == ["sum", "40.0", "dB", "–", "40.0", "dB", "0.21%", "–"]
    assert f"ranking: {tmp_path / 'sensitivity.json'}" in ran.out
    assert f"mobile-seg quantize {tmp_path}/m.keras --data d.yaml --max-drop" in ran.out


@pytest.mark.parametrize(("miou", "drop"), [(0.612, "+0.30"), (0.617, "-0.20")])
def test_max_drop_says_what_was_raised(cli: Cli, quantize: Any, tmp_path: Path, miou: float, drop: str) -> None:
    keep = {"b00_act": "int16x8", "head_logits": "float"}
    record = {"max_drop": 0.5, "float_miou": 0.615, "miou": miou, "keep": keep, "tried": []}
    (tmp_path / "raised.json").write_text(json.dumps(record))
    ran = cli("quantize", tmp_path / "m.keras", "--data", "d.yaml", "--max-drop", "0.5", "--ptq")
    assert ran.code == 0
    assert (quantize.call_args.kwargs["max_drop"], quantize.call_args.kwargs["recipe"]) == (0.5, None)
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["b00_act", "int16x8"] in lines
    assert ["head_logits", "float"] in lines
    said = f"2 layers raised: mIoU {100 * miou:.2f}%, {drop} points below the float model's 61.50% on val (0.5 allowed)"
    assert said in ran.out


def test_the_help_names_every_scheme_and_when_the_search_runs(cli: Cli) -> None:
    shown = " ".join(cli("quantize", "--help").out.split())
    assert all(name in shown for name in SCHEMES)
    assert "the search quantizes post-training, training then goes on from what it found" in shown
