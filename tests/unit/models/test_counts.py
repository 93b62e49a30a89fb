"""The record of what the networks count: complete, and what the networks say."""

import json
from typing import Any

import pytest
from unit.report.pictures import faults

from mobile_seg.models import counts
from mobile_seg.models.counts import PAPERS, RECORD, build_setting, in_short, measure, recorded, rows, setting
from mobile_seg.models.entry import Entry, Published
from mobile_seg.models.zoo import ENTRIES

QUICK = ("mobile_spinenet_s49_minus", "mobilenet_v2_050")


def test_the_record_has_every_row_in_order_and_no_other() -> None:
    found = [(counted.entry, counted.published) for counted in recorded()]
    assert found == list(rows())
    assert len(json.loads(RECORD.read_text("utf-8"))) == len(found)


def test_every_paper_has_a_title_and_stands_together() -> None:
    assert list(dict.fromkeys(entry.paper for entry in ENTRIES)) == list(PAPERS)
    assert sorted(ENTRIES, key=lambda entry: list(PAPERS).index(entry.paper)) == list(ENTRIES)


def test_a_row_without_counts_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    new = Entry("new", family="x", paper="arXiv:2103.12270", row={}, heads=("deeplabv3",), input_multiple=16)
    monkeypatch.setattr(counts, "ENTRIES", (*ENTRIES, new))
    with pytest.raises(ValueError, match=r"counts.json lacks new .*docs/generate.py --count"):
        recorded.__wrapped__()


def check(entry: Entry, published: Published) -> None:
    counted = next(one for one in recorded() if (one.entry, one.published) == (entry, published))
    measured = measure(entry, published)
    assert (measured["params"], measured["macs"]) == (counted.params, counted.macs)


@pytest.mark.parametrize("name", QUICK)
def test_the_record_is_what_small_networks_count(name: str) -> None:
    check(*next((entry, published) for entry, published in rows() if entry.name == name))


@pytest.mark.slow
@pytest.mark.parametrize(("entry", "published"), list(rows()), ids=lambda one: getattr(one, "name", ""))
def test_the_record_is_what_every_network_counts(entry: Entry, published: Published) -> None:
    check(entry, published)


@pytest.mark.slow
@pytest.mark.parametrize(("entry", "head"), [(entry, head) for entry in ENTRIES for head in entry.heads])
def test_the_picture_of_every_network_has_no_fault(entry: Entry, head: str) -> None:
    from mobile_seg.models.cost import count
    from mobile_seg.models.structure import structure

    network = build_setting(entry, setting(entry, head))
    found = structure(network)
    assert (found.params, found.macs) == (count(network).params, count(network).macs)
    assert not faults(found)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ""),
        ({"squeeze_excite": True, "space_to_depth": False}, "+squeeze_excite -space_to_depth"),
        ({"aspp_rates": (6, 12), "width": 3}, "aspp_rates=6,12 width=3"),
    ],
)
def test_options_in_short(options: dict[str, Any], said: str) -> None:
    assert in_short(options) == said
