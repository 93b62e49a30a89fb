"""The manifest's text: the same for the same record, refused where it is not one."""

import dataclasses
import json
from typing import Any

import pytest

from mobile_seg.errors import ArtifactError
from mobile_seg.manifest import FORMAT_VERSION, InputSpec, Manifest, OutputSpec

MANIFEST = Manifest(
    model="net",
    precision="int8",
    input=InputSpec(height=32, width=64, dtype="uint8", mean=128.0, std=128.0),
    output=OutputSpec(kind="logits", height=4, width=8, dtype="int8", scale=0.125, zero_point=-3),
    classes=("road", "Gehweg ß"),
    palette=((128, 64, 128), (244, 35, 232)),
    versions=(("keras", "3.15"), ("numpy", "2.4")),
    network=(("aspp_rates", (2, 4, 6)), ("head", "deeplabv3")),
    kept=(("b1_conv", "float"),),
)


def test_it_reads_back_what_it_wrote() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST
    assert MANIFEST.to_json() == Manifest.from_json(MANIFEST.to_json()).to_json()


def test_the_text_has_the_names_that_apps_read() -> None:
    value = json.loads(MANIFEST.to_json())
    assert value["format_version"] == FORMAT_VERSION
    assert value["versions"] == {"keras": "3.15", "numpy": "2.4"}
    assert value["network"] == {"aspp_rates": [2, 4, 6], "head": "deeplabv3"}
    assert value["kept"] == {"b1_conv": "float"}
    assert value["input"] == {
        "height": 32, "width": 64, "dtype": "uint8", "mean": 128.0, "std": 128.0, "normalized_outside": False,
        "name": "image", "resize": "stretch-bilinear", "layout": "nhwc",
    }  # fmt: skip
    assert value["output"] == {
        "kind": "logits", "height": 4, "width": 8, "dtype": "int8", "scale": 0.125, "zero_point": -3,
        "name": "segmentation", "layout": "nhwc",
    }  # fmt: skip
    assert (value["task"], value["ignore"], value["producer"]) == ("semantic", 255, "mobile-seg")


def _changed(**changes: Any) -> str:
    return json.dumps({**json.loads(MANIFEST.to_json()), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("null", "cannot be read"),
        (_changed(format_version=FORMAT_VERSION + 1), "has format 2, this mobile-seg reads 1; upgrade mobile-seg"),
        (_changed(format_version=None), "has format None"),
        (_changed(colour="red"), r"unknown keys \['colour'\]; it was written by another version"),
        (_changed(input={"height": 3}), "cannot be read: .*; export the model again"),
        (_changed(output="logits"), "cannot be read"),
        (_changed(palette=[[1, 2]] * 2), "cannot be read"),
        (_changed(classes=["road"]), "1 classes but 2 palette colours"),
        (_changed(input={**dataclasses.asdict(MANIFEST.input), "layout": "chwn"}), "layout 'chwn' is not one of"),
        (_changed(output={"kind": "boxes", "height": 1, "width": 1, "dtype": "int8"}), "kind 'boxes' is not one of"),
    ],
)
def test_what_is_no_manifest_is_refused(text: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    "key", [field.name for field in dataclasses.fields(Manifest) if field.default is dataclasses.MISSING]
)
def test_a_missing_key_is_refused(key: str) -> None:
    value = json.loads(MANIFEST.to_json())
    del value[key]
    with pytest.raises(ArtifactError, match="cannot be read"):
        Manifest.from_json(json.dumps(value))
