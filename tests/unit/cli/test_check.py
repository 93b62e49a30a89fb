"""`mobile-seg check`: the record as text and as JSON."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.profiling.delegates import made

from mobile_seg.cli import check as command
from mobile_seg.cli.check import NAMES, lines
from mobile_seg.errors import ProfileError
from mobile_seg.profiling.delegates import judges
from mobile_seg.profiling.delegates.check import Check, DelegateCheck, Finding
from mobile_seg.profiling.delegates.registry import DELEGATES

Stand = Callable[..., Any]


@pytest.fixture
def found() -> Check:
    finding = Finding(
        operations=(("RESIZE_NEAREST_NEIGHBOR", 4),),
        rule="unknown operation",
        reason="XNNPACK has no RESIZE_NEAREST_NEIGHBOR.",
        detail="",
        fix="Place it last.",
        source="a file",
        layers=("b17_up", "b20_up", "b21\x1b[2J_up", "b22_up"),
    )
    whole = DelegateCheck("gpu", "GPU", "a phone's GPU", 10, 10, 1, 2_000_000, 2_000_000, (), ("It rounds.",))
    parted = DelegateCheck("xnnpack", "XNNPACK", "the CPU", 10, 6, 3, 2_000_000, 1_500_000, (finding,), ())
    return Check("net.tflite", 1_500_000, 10, 2_000_000, (parted, whole))


def test_one_table_then_each_refusal(found: Check) -> None:
    text = lines(found)
    assert text[0] == "net.tflite: 10 operations, 2.0 M multiply-adds, 1.50 MB"
    assert text[2].split() == ["delegate", "taken", "parts", "multiply-adds", "verdict"]
    assert text[3].split() == ["XNNPACK", "6", "of", "10", "3", "75.00%", "leaves", "4,", "in", "3", "parts"]
    assert "  RESIZE_NEAREST_NEIGHBOR x4: XNNPACK has no RESIZE_NEAREST_NEIGHBOR." in text
    assert "      at   b17_up, b20_up, b21?[2J_up, and 1 more" in text
    assert "      fix  Place it last." in text
    assert "  note: It rounds." in text


def test_every_layer_if_asked(found: Check) -> None:
    assert "      at   b17_up, b20_up, b21?[2J_up, b22_up" in lines(found, layers=None)


def test_the_names_in_the_help_are_the_delegates() -> None:
    assert NAMES.split(",") == list(DELEGATES)


def options(path: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(path), *words])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return made.file(tmp_path, [("RELU", [0], [1]), ("TILE", [1, 2], [3])], [{}, {}, {"type": 2, "shape": [4]}, {}])


def test_a_refusal_is_no_failure(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(options(small, "--delegate", "xnnpack,nnapi:29")) == 0
    out = capsys.readouterr().out
    assert "NNAPI 1.2" in out
    assert "XNNPACK has no TILE." in out


def test_json_holds_all_of_it(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.run(options(small, "--json", "--delegate", "gpu"))
    value = json.loads(capsys.readouterr().out)
    assert value["operations"] == 2
    assert [one["delegate"] for one in value["delegates"]] == ["gpu"]


def test_judges_that_agree_and_that_are_absent(
    small: Path, capsys: pytest.CaptureFixture[str], stand_in: Stand
) -> None:
    def asked(graph: Any, delegate: str) -> judges.Opinion:
        if delegate == "gpu":
            raise ProfileError("this machine has no GPU")
        return judges.Opinion("a judge", 0, frozenset({0, 1}), frozenset({"RELU", "TILE"}), 0, (("cycles", "12"),))

    stand_in(judges, "ask", side_effect=asked)
    assert command.run(options(small, "--judge", "--delegate", "xnnpack,gpu,coreml")) == 0
    out = capsys.readouterr().out
    assert "gpu: not asked: this machine has no GPU" in out
    assert "xnnpack: a judge agrees on 1 of 2 operations" in out
    assert "RELU t1: only our rules would take it" in out
    assert "parts: 1 by our rules, 0 by the judge" in out
    assert "cycles, estimated by the compiler: 12" in out
    assert "coreml" not in out.split("judges:")[1]
    command.run(options(small, "--judge", "--json", "--delegate", "xnnpack"))
    assert json.loads(capsys.readouterr().out)["judges"]["xnnpack"]["share"] == 0.5
