"""A file before its delegates, as a record."""

import json
from pathlib import Path

import pytest
from unit.profiling.delegates import made
from unit.profiling.delegates.files import PEERS

from mobile_seg.errors import UsageError
from mobile_seg.profiling.delegates.check import DEFAULT, check_file, check_graph
from mobile_seg.profiling.delegates.graph import Graph
from mobile_seg.profiling.delegates.registry import DELEGATES, find
from mobile_seg.profiling.delegates.rules import Delegate


def test_every_delegate_says_something_of_an_integer_file(ours: dict[str, Path]) -> None:
    found = check_file(ours["int8"])
    assert [one.delegate for one in found.delegates] == list(DEFAULT) == list(DELEGATES)
    for one in found.delegates:
        assert one.operations == found.operations
        assert one.taken + sum(len(each.layers) for each in one.findings) == found.operations, one.delegate
        assert 0 <= one.macs_taken <= one.macs == found.macs


def test_what_stays_outside_is_named_by_our_layers(ours: dict[str, Path]) -> None:
    (one,) = check_file(ours["float32"], delegates=["xnnpack"]).delegates
    (found,) = one.findings
    assert found.operations == (("RESIZE_NEAREST_NEIGHBOR", 1),)
    assert found.layers == ("b02_nearest",)
    assert one.partitions == 2
    assert one.verdict == f"leaves 1, in {one.partitions} parts"


def test_verdicts() -> None:
    chain = made.graph(("RELU", [0], [1]), ("TILE", [1], [2]))
    everything = Delegate("d", "D", "about", "source", {"RELU": (), "TILE": ()})
    assert check_graph(chain, everything).verdict == "takes all of it in one part"
    assert check_graph(chain, Delegate("d", "D", "about", "source", {})).verdict == "takes nothing"
    assert check_graph(Graph("a", 0, (), (), (), 1), everything).share is None


def test_a_limit_of_parts_is_a_finding_of_its_own() -> None:
    chain = made.graph(("RELU", [0], [1]), ("TILE", [1], [2]), ("RELU", [2], [3]))
    one = check_graph(chain, Delegate("d", "D", "about", "source", {"RELU": ()}, most=1, in_order=True))
    assert [found.refusal for found in one.findings] == [True, False]
    assert one.findings[-1].reason == "D keeps the first part only."
    assert one.taken == 1


def test_plain_values(ours: dict[str, Path]) -> None:
    value = json.loads(json.dumps(check_file(ours["int8"], delegates=["coreml", "nnapi:29"]).to_dict()))
    assert [one["delegate"] for one in value["delegates"]] == ["coreml", "nnapi:29"]
    assert value["delegates"][0]["findings"][0]["operations"]


def test_unknown_delegates_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose from"):
        check_file(tmp_path / "absent.tflite", delegates=["tpu"])


def test_every_peer_can_be_checked() -> None:
    for path in PEERS:
        found = check_file(path, delegates=[*DELEGATES, "nnapi:27"])
        assert len(found.delegates) == len(DELEGATES) + 1
        assert all(find(one.delegate).title == one.title for one in found.delegates)
