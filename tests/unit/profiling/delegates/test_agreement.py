"""How often our rules say what the real compilers say: always, or the exception stands here with its reason."""

import importlib.util
from pathlib import Path

import pytest
from unit.profiling.delegates import files

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.delegates import judges
from mobile_seg.profiling.delegates.graph import Graph
from mobile_seg.profiling.delegates.partition import split
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.delegates.registry import find

UNREADABLE = {
    "selfie_segmentation.tflite": "Vela 5.2 cannot parse MediaPipe's files; our rules refuse all of it, being float",
    "selfie_segmentation_landscape.tflite": "as the other",
}
"""Files that Vela gives no verdict on."""

needs_vela = pytest.mark.skipif(
    importlib.util.find_spec("ethosu") is None, reason='needs the extra: pip install "mobile-seg[vela]"'
)
needs_peers = pytest.mark.skipif(not files.PEERS, reason=files.NO_PEERS)


def assert_agreed(graph: Graph, delegate: str, opinion: judges.Opinion) -> None:
    found = judges.agreement(graph, split(graph, find(delegate)), opinion)
    assert not found.differences, (graph.path, found.differences)
    assert found.alike == found.operations == len(graph.operations), graph.path
    if found.partitions is not None:
        assert found.partitions[0] == found.partitions[1], graph.path


def gpu_opinion(graph: Graph) -> judges.Opinion:
    try:
        return judges.ask(graph, "gpu")
    except ProfileError as error:
        if "has no GPU" in str(error):
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_xnnpack_parts_our_files_as_we_say(ours: dict[str, Path], precision: str) -> None:
    graph = read_graph(ours[precision])
    opinion = judges.ask(graph, "xnnpack")
    assert "RESIZE_NEAREST_NEIGHBOR" in opinion.left_kinds
    assert_agreed(graph, "xnnpack", opinion)


@needs_peers
def test_xnnpack_parts_the_peers_as_we_say() -> None:
    for path in files.PEERS:
        if not path.name.endswith(files.NO_CPU):
            graph = read_graph(path)
            assert_agreed(graph, "xnnpack", judges.ask(graph, "xnnpack"))


@needs_peers
def test_corals_compiler_left_what_we_say() -> None:
    """Its compiled twins hold what stayed on the CPU beside one operation of their own."""
    compared = 0
    for path in files.PEERS:
        twin = Path(files.FOLDER, "coral_edgetpu_compiled", f"{path.stem}_edgetpu.tflite")
        if not twin.is_file():
            continue
        graph, compiled = read_graph(path), read_graph(twin)
        parted = split(graph, find("edgetpu"))
        left = [one for one in graph.operations if one.index not in parted.taken]
        kept = [one for one in compiled.operations if one.kind != "edgetpu-custom-op"]
        assert [(one.kind, one.outputs[0].name) for one in left] == [(one.kind, one.outputs[0].name) for one in kept]
        assert len(compiled.operations) == len(kept) + len(parted.partitions)
        compared += 1
    assert compared >= 2


@needs_peers
def test_the_edge_tpu_refuses_every_float_file() -> None:
    for path in files.PEERS:
        graph = read_graph(path)
        if graph.inputs[0].dtype == graph.outputs[0].dtype == "float32" and "quant" not in path.name:
            assert not split(graph, find("edgetpu")).taken, path.name


@needs_vela
def test_vela_leaves_of_our_file_what_we_say(ours: dict[str, Path]) -> None:
    graph = read_graph(ours["int8"])
    assert_agreed(graph, "ethos-u", judges.ask(graph, "ethos-u"))


@needs_vela
@needs_peers
@pytest.mark.slow
def test_vela_leaves_of_the_peers_what_we_say() -> None:
    for path in files.PEERS:
        graph = read_graph(path)
        if path.name in UNREADABLE:
            with pytest.raises(ProfileError, match="gives no verdict"):
                judges.ask(graph, "ethos-u")
            continue
        assert_agreed(graph, "ethos-u", judges.ask(graph, "ethos-u"))


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_the_gpu_takes_of_our_files_what_we_say(ours: dict[str, Path], precision: str) -> None:
    graph = read_graph(ours[precision])
    assert_agreed(graph, "gpu", gpu_opinion(graph))


@needs_peers
@pytest.mark.slow
def test_the_gpu_takes_of_the_peers_what_we_say() -> None:
    for path in files.PEERS:
        if not path.name.endswith(files.NO_CPU):
            graph = read_graph(path)
            assert_agreed(graph, "gpu", gpu_opinion(graph))
