"""The registry: names, settings that are refused, and what the papers published."""

import dataclasses
from typing import Any

import pytest

from mobile_seg.errors import UsageError
from mobile_seg.models.entry import check_input_size
from mobile_seg.models.registry import ENTRIES, build, find, names

SMALL: dict[str, Any] = {"input_size": (32, 32), "classes": 3}


def test_names_are_unique_and_findable() -> None:
    assert len(set(names())) == len(names())
    assert [find(name) for name in names()] == list(ENTRIES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mobile_spinenet_s48", {}, r"model='mobile_spinenet_s48' is not known.*Did you mean 'mobile_spinenet_s49'"),
        ("mobile_spinenet_s49", {"output_stride": 32}, r"output_stride=32 is not offered; choose from \(8, 4, 16\)"),
        ("mobile_spinenet_s49", {"classes": 1}, "classes=1: at least 2"),
        (
            "mobile_spinenet_s49",
            {"activation": "gelu"},
            "activation='gelu' is not known; choose from relu6, relu",
        ),
        ("mobile_spinenet_s49", {"classifier_kernel": 2}, "a 2x classifier; choose 1 or 3"),
        ("mobile_spinenet_s49", {"aspp_rates": (2, 2)}, "repeat; each may stand once"),
        ("mobile_spinenet_s49", {"input_size": (250, 352)}, "250x352 .*multiples of 16.*nearest that works is 256x352"),
    ],
)
def test_settings_that_cannot_be_built_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, **{**SMALL, **options})


@pytest.mark.parametrize(
    ("size", "nearest"),
    [((250, 352), "256x352"), ((1, 1), "16x16"), ((0, -5), "16x16"), ((513, 1025), "512x1024"), ((40, 56), "32x64")],
)
def test_the_nearest_size_that_works_is_named(size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(UsageError, match=f"input size {size[0]}x{size[1]} .*the nearest that works is {nearest}"):
        check_input_size(size, multiple=16)
    height, width = (int(side) for side in nearest.split("x"))
    check_input_size((height, width), multiple=16)


def test_bn_momentum_reaches_every_normalization() -> None:
    import keras

    model = build("mobile_spinenet_s49_minus", **SMALL, aspp_rates=(1,), bn_momentum=0.9)
    momenta = {layer.momentum for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert momenta == {0.9}


def test_an_option_has_one_meaning() -> None:
    from mobile_seg.models.blocks import Style
    from mobile_seg.models.families import FAMILIES
    from mobile_seg.models.heads import HEADS

    def fields(record: Any) -> set[str]:
        return {field.name for field in dataclasses.fields(record)}

    of_heads = set().union(*(fields(head.options) for head in HEADS.values()))
    for name, family in FAMILIES.items():
        assert not fields(family.row) & (of_heads | fields(Style)), name
    assert not of_heads & fields(Style)


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"option='aspp_rate' is not known; choose from .*Did you mean 'aspp_rates'"):
        build("mobile_spinenet_s49_minus", **SMALL, aspp_rate=(1,))


@pytest.mark.parametrize("name", names())
def test_every_name_in_a_row_is_one_of_its_records(name: str) -> None:
    from mobile_seg.models.families import FAMILIES
    from mobile_seg.models.heads import HEADS

    entry = find(name)
    FAMILIES[entry.family].row(**entry.row)
    assert set(entry.head_options) <= set(entry.heads)
    for head in entry.heads:
        HEADS[head].options(**entry.head_options.get(head, {}))
