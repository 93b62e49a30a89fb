"""`mobile-seg inspect`: the record as text and as JSON."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.verify import tiny

from mobile_seg.cli.inspect import SHOWN, WIDEST, clean, lines
from mobile_seg.errors import ArtifactError
from mobile_seg.inspection import dispatch
from mobile_seg.inspection.records import Inspection, Layer, Quantization, Tensor, Verdict

Cli = Callable[..., Any]
Stand = Callable[..., Any]


@pytest.fixture
def found() -> Inspection:
    return Inspection(
        path="street.tflite",
        format="TFLite",
        size_bytes=1_234_567,
        runtime="TFLite 2.3.0 or later",
        inputs=(Tensor("image", (1, -1, 96, 3), "uint8", 0.0078125, 128),),
        outputs=(Tensor("segmentation", (1, "rows", 12, 5), "int8", 0.1, -3),),
        quantization=Quantization("int8 activations, int8 weights", 3, 14),
        operations=(("CONV_2D", 92), ("ADD", 41)),
        layers=tuple(Layer(f"model/block_{n}/conv", "CONV_2D", "int8", (8, 3, 3, n), 10 * (20 - n)) for n in range(15)),
        metadata={"author": "somebody", "nested": {"list": [{"a": 1, "b": [1, 2]}, {"a": 2}]}},
        files=(("labels.txt", 35),),
        manifest=tiny.manifest(),
        reads=("MediaPipe ImageSegmenter reads it",),
        verdicts=(Verdict("LiteRT", True),),
    )


def test_what_matters_comes_first(found: Inspection) -> None:
    assert lines(found)[:7] == [
        "file       street.tflite, TFLite, 1.23 MB",
        "needs      TFLite 2.3.0 or later",
        "input      image uint8 [1, ?, 96, 3], scale 0.0078125, zero point 128",
        "output     segmentation int8 [1, rows, 12, 5], scale 0.1, zero point -3",
        "precision  int8 activations, int8 weights (3 tensors with one scale, 14 with one per channel)",
        "reads      LiteRT loads it",
        "reads      MediaPipe ImageSegmenter reads it",
    ]


def test_the_rest_in_sections(found: Inspection) -> None:
    text = lines(found)
    for line in (
        "operations",
        "      92  CONV_2D",
        "weights: 1950 bytes in 15 layers, largest first",
        "metadata",
        "  author: somebody",
        "    list:",
        "      - a: 1",
        "        b: 1, 2",
        "      - a: 2",
        "files inside",
        "          35  labels.txt",
        "manifest",
        "  classes: road, sky, tree, car",
        "    kind: logits",
    ):
        assert line in text or f"  {line}" in text, line
    without = lines(dataclasses.replace(found, manifest=None))
    assert without[-1] == "no manifest of mobile-seg in it"


def test_the_largest_layers_or_all(found: Inspection) -> None:
    assert sum("/conv" in line for line in lines(found)) == SHOWN
    assert "  … and 5 more: --all lists them" in lines(found)
    every = lines(found, layers=None)
    assert sum("/conv" in line for line in every) == 15
    assert not any("--all" in line for line in every)


def test_a_refusal_is_said(found: Inspection) -> None:
    refused = dataclasses.replace(found, verdicts=(Verdict("LiteRT", False, "unresolved custom op"),))
    assert "reads      LiteRT refuses it: unresolved custom op" in lines(refused)


def test_long_names_keep_their_end(found: Inspection) -> None:
    layer = Layer("m" * 100 + "/b07_conv;joined;others", "CONV_2D", "int8", (1,), 1)
    (line,) = (line for line in lines(dataclasses.replace(found, layers=(layer,))) if "b07" in line)
    name = line.split()[0]
    assert name.startswith("…")
    assert name.endswith("/b07_conv")
    assert len(name) == WIDEST


def test_what_a_file_says_cannot_move_the_terminal() -> None:
    assert clean("a\x1b[2Jb\nc\u202e") == "a?[2Jb?c?"
    assert clean("x" * 300, longest=10) == "x" * 9 + "…"


def test_the_command_prints_it(cli: Cli, stand_in: Stand, found: Inspection) -> None:
    looked = stand_in(dispatch, "inspect_file", return_value=found)
    ran = cli("inspect", "street.tflite")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == lines(found)
    looked.assert_called_once_with("street.tflite")
    assert cli("inspect", "street.tflite", "--all").out.splitlines() == lines(found, layers=None)


def test_json_is_the_record(cli: Cli, stand_in: Stand, found: Inspection) -> None:
    stand_in(dispatch, "inspect_file", return_value=found)
    ran = cli("inspect", "street.tflite", "--json")
    value = json.loads(ran.out)
    assert value == found.to_dict()
    assert value["operations"] == {"CONV_2D": 92, "ADD": 41}
    assert value["inputs"][0]["shape"] == [1, -1, 96, 3]
    assert len(value["layers"]) == 15


def test_failures_are_one_line(cli: Cli, stand_in: Stand, tmp_path: Path) -> None:
    ran = cli("inspect", tmp_path / "missing.onnx")
    assert (ran.code, ran.out) == (1, "")
    assert "missing.onnx does not exist" in ran.err
    ran = cli("inspect", tmp_path / "model.pb")
    assert ran.code == 2
    assert ".tflite" in ran.err
    stand_in(dispatch, "inspect_file", side_effect=ArtifactError("it is damaged"))
    assert cli("inspect", "x.tflite").err == "error: it is damaged\n"
