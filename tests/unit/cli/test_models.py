"""`mobile-seg models`: the list at once, and any network as a picture."""

import io
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mobile_seg.models.counts import PAPERS, recorded, setting
from mobile_seg.models.zoo import ENTRIES

Cli = Callable[..., Any]
NAME = "mobile_spinenet_s49_minus"


def test_the_list_has_every_network(cli: Cli) -> None:
    lines = cli("models").out.splitlines()
    listed = [line.split()[0] for line in lines[: lines.index("next:")] if line.startswith("  ")]
    assert [name for name in listed if name != "head"] == [counted.entry.name for counted in recorded()]
    assert {entry.name for entry in ENTRIES} <= set(listed)
    assert [line for line in lines if line in {f"{title} ({paper})" for paper, title in PAPERS.items()}] == [
        f"{title} ({paper})" for paper, title in PAPERS.items()
    ]
    row = next(line for line in lines if line.startswith(f"  {NAME} "))
    assert row.split()[1:] == [
        "deeplabv3",
        "1024x2048",
        "19",
        "1.38",
        "M",
        "3.15",
        "M",
        "25.06",
        "G",
        "aspp_rates=12,24,36,72",
    ]
    assert all(line == line.rstrip() and len(line) < 160 for line in lines)


def test_the_list_as_json(cli: Cli) -> None:
    rows = json.loads(cli("models", "--json").out)
    assert [row["name"] for row in rows] == [counted.entry.name for counted in recorded()]
    required = {"name", "family", "head", "input_size", "classes", "options", "params", "macs", "source"}
    for row, counted in zip(rows, recorded(), strict=True):
        stated = {f"paper_{key}" for key in ("params", "macs") if getattr(counted.published, key) is not None}
        assert set(row) == required | stated
        assert row["macs"] > row["params"] > 1e5


def test_the_list_loads_no_framework(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)  # importing it is an ImportError now
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert cli("models").code == 0


def test_a_picture_in_the_current_folder(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("models", NAME, "--input", "64x128", "--classes", "3", "--output-stride", "16")
    assert (ran.code, ran.err) == (0, "")
    facts, blocks, path = ran.out.splitlines()
    assert facts.startswith(
        f"{NAME}: 64x128 · deeplabv3 head · 3 classes · aspp_rates=12,24,36,72 output_stride=16 · 1.3"
    )
    assert blocks == "25 blocks; gives 4x8x3"
    assert path == f"{NAME}.svg"
    texts = [text.text for text in ET.parse(tmp_path / path).iter("{http://www.w3.org/2000/svg}text")]
    assert {"b00", "b21", "aspp", "4x8x3", facts.partition(": ")[2]} <= set(texts)


def test_a_png(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "net.PNG"
    assert cli("models", "mobilenet_v2_050", "--head", "classification", "--input", "64x64", "-o", path).code == 0
    assert Image.open(io.BytesIO(path.read_bytes())).format == "PNG"


def test_a_networks_blocks_as_json(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    value = json.loads(cli("models", NAME, "--input", "64x64", "--json").out)
    assert value["name"] == NAME
    block = next(block for block in value["blocks"] if block["id"] == "b17")
    assert {source["source"] for source in block["inputs"]} == {"b16", "b14"}
    assert (block["stride"], block["channels"], block["dilations"]) == (4, 15, [4])
    assert not list(tmp_path.iterdir()), "no picture was asked for"
    assert json.loads(cli("models", NAME, "--input", "64x64", "--json", "-o", "net.svg").out) == value
    assert (tmp_path / "net.svg").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["spinenet_s4"], "model='spinenet_s4' is not known; choose from spinenet_s49, "),
        ([NAME, "-o", "net.gif"], "--out net.gif must end in .svg or .png"),
        ([NAME, "--head", "deeplab"], "--head='deeplab' is not known; choose from deeplabv3, classification."),
        ([NAME, "--input", "100x64"], "the nearest that works is 96x64"),
        ([NAME, "--output-stride", "32"], "output_stride=32 is not offered; choose from (8, 4, 16)."),
        (["--classes", "3"], "--classes is for drawing one network: name it"),
        (["--out", "net.svg"], "--out is for drawing one network: name it"),
    ],
)
def test_misuse_is_one_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("models", *words)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert said in ran.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_head_can_be_shown(entry: Any) -> None:
    assert {setting(entry, head).head for head in entry.heads} == set(entry.heads)
    assert setting(entry).head in entry.heads
