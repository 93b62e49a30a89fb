"""Every mobile network, written for every target: all of it maps, in one part, and no number changes.

Exceptions stand in `EXCEPTIONS` with their reasons; one that no longer occurs fails too.
"""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from unit.quantization import nets

import mobile_seg
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.models.entry import Entry
from mobile_seg.models.registry import ENTRIES, build
from mobile_seg.profiling.delegates import judges
from mobile_seg.profiling.delegates.partition import split
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.delegates.registry import find
from mobile_seg.targeting import Fit, fit

pytestmark = pytest.mark.slow

SIZE, CLASSES = (128, 256), 5
"""The smallest rectangle at which every level of every network is a whole multiple of the next."""

EXCEPTIONS = {
    ("xnnpack", "int8"): {"QUANTIZE": "from the camera's unsigned bytes; it is the first operation and parts nothing"},
}
"""(target, precision) → operations that stay outside, and why; the graph is in one part all the same."""

HAS_VELA = importlib.util.find_spec("ethosu") is not None
"""Without the extra `vela` our rules alone are asked, which agree with it: see test_agreement."""

MOBILE = [pytest.param(entry, id=entry.name) for entry in ENTRIES if entry.mobile]


@pytest.fixture(scope="module", params=MOBILE)
def entry(request: pytest.FixtureRequest) -> Entry:
    """A network for phones."""
    return request.param


@pytest.fixture(scope="module")
def contents(entry: Entry) -> dict[str, bytes]:
    """Its files as they are converted, untargeted."""
    keras.utils.set_random_seed(0)
    model = nets.as_if_trained(build(entry.name, input_size=SIZE, classes=CLASSES))
    return {
        "int8": mobile_seg.to_tflite(nets.calibrated(model), io="uint8"),
        "float32": convert_graph(model, precision="float32", io="float").content,
    }


def fitted(contents: dict[str, bytes], precision: str, target: str, path: Path) -> Fit:
    """Rewrite a file, see that its outputs stay the same, and write it."""
    content, found = fit(contents[precision], target=target, name=path.name)
    path.write_bytes(content)
    pixels = nets.images(2, SIZE).astype(np.uint8 if precision == "int8" else np.float32)
    for (after, _), (before, _) in zip(nets.run(content, pixels), nets.run(contents[precision], pixels), strict=True):
        np.testing.assert_array_equal(after, before)
    return found


def check_whole(found: Fit, precision: str) -> None:
    """One part, and outside of it what is excepted."""
    expected = EXCEPTIONS.get((found.target, precision), {})
    left = [kind for one in found.check.findings for kind, _ in one.operations]
    assert left == list(expected), found.lines
    assert found.check.partitions == 1, found.lines


def check_judge(found: Fit, path: Path) -> None:
    """The target's own compiler says what our rules say."""
    graph = read_graph(path)
    said = judges.agreement(graph, split(graph, find(found.target)), judges.ask(graph, found.target))
    assert (said.alike, said.differences) == (said.operations, ())
    if said.partitions is not None:
        assert said.partitions == (1, 1)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_xnnpack_runs_it_in_one_part(contents: dict[str, bytes], precision: str, tmp_path: Path) -> None:
    found = fitted(contents, precision, "xnnpack", tmp_path / "xnnpack.tflite")
    check_whole(found, precision)
    check_judge(found, tmp_path / "xnnpack.tflite")


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_gpu_runs_it_in_one_part(contents: dict[str, bytes], precision: str, tmp_path: Path) -> None:
    check_whole(fitted(contents, precision, "gpu", tmp_path / "gpu.tflite"), precision)


def test_the_edge_tpu_maps_every_operation(contents: dict[str, bytes], tmp_path: Path) -> None:
    check_whole(fitted(contents, "int8", "edgetpu", tmp_path / "edgetpu.tflite"), "int8")


def test_the_ethos_u_maps_every_operation(contents: dict[str, bytes], tmp_path: Path) -> None:
    found = fitted(contents, "int8", "ethos-u", tmp_path / "ethos-u.tflite")
    check_whole(found, "int8")
    if HAS_VELA:
        check_judge(found, tmp_path / "ethos-u.tflite")


def test_nnapi_takes_what_it_took_and_no_number_changes(contents: dict[str, bytes], tmp_path: Path) -> None:
    found = fitted(contents, "int8", "nnapi", tmp_path / "nnapi.tflite")
    refused = {kind for one in found.refused for kind, _ in one.operations}
    # Its averages keep their input's grid, ours have their own: to mend that is to quantize again.
    assert refused <= {"MEAN"}, found.lines
