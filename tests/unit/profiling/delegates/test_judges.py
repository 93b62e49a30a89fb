"""What compilers write, read from recorded words; and agreement counted."""

from pathlib import Path

import pytest
from unit.profiling.delegates import made

from mobile_seg.errors import MissingExtraError, ProfileError, UsageError
from mobile_seg.profiling.delegates import judge_gpu, judge_vela, judges
from mobile_seg.profiling.delegates.graph import Graph
from mobile_seg.profiling.delegates.judges import Opinion, agreement, ask
from mobile_seg.profiling.delegates.partition import split
from mobile_seg.profiling.delegates.rules import Delegate

GPU_LOG = """INFO: [delegate_webgpu.cc:363] Created a WebGPU environment.
ERROR: Following operations are not supported by GPU delegate:
ARG_MAX: Tensor type(INT64) is not supported. Identity_4
GATHER_ND: Operation is not supported.
3 operations will run on the GPU, and the remaining 3 operations will run on the CPU.
I0000 00:00:1795298654.500453   25348 delegate_kernel.cc:984] Initializing WebGPU-based API from graph.
"""
"""As ai-edge-litert 2.3.0 wrote it on a software GPU (SwiftShader)."""

VELA_LOG = """Warning: No memory mode specified.

Warning (supported operators) operator: RESIZE_BILINEAR, ofm: 'ResizeBilinear_2'
Reason: Scaling matches and operation has unsupported scale-factor=16
IF not (IFM H == IFM W == 1) AND not IFM Shape == OFM Shape:

Network summary for deeplabv3_mnv2_dm05_pascal_quant
"""
"""As ethos-u-vela 5.2.0 wrote it of Coral's deeplabv3_mnv2_dm05_pascal_quant.tflite."""

CHAIN = made.graph(("RELU", [0], [1]), ("TILE", [1], [2]), ("RELU", [2], [3]))
TAKES_RELU = Delegate("d", "D", "about", "source", {"RELU": ()})


def test_what_a_gpu_refuses_and_how_many_it_takes() -> None:
    assert judge_gpu.read_log(GPU_LOG, whole=False, path="a.tflite") == ({"ARG_MAX", "GATHER_ND"}, 3)


def test_a_gpu_that_takes_nothing() -> None:
    log = GPU_LOG.replace(
        "3 operations will run on the GPU, and the remaining 3", "No operations will run on the GPU, all 6"
    )
    assert judge_gpu.read_log(log, whole=False, path="a.tflite")[1] == 0


def test_a_list_of_what_the_gpu_refuses_outranks_the_word_that_all_is_accelerated() -> None:
    assert judge_gpu.read_log(GPU_LOG, whole=True, path="a.tflite") == ({"ARG_MAX", "GATHER_ND"}, 3)


def test_a_gpu_that_takes_all() -> None:
    assert judge_gpu.read_log("INFO: fine", whole=True, path="a.tflite") == (set(), None)


def test_no_gpu_is_said_with_the_way_to_one() -> None:
    with pytest.raises(ProfileError, match="VK_ICD_FILENAMES"):
        judge_gpu.read_log("ERROR: INTERNAL: No adapters found", whole=None, path="a.tflite")


def test_a_gpu_that_crashed_gives_no_verdict() -> None:
    with pytest.raises(ProfileError, match="no verdict"):
        judge_gpu.read_log("Segmentation fault", whole=None, path="a.tflite")


def test_what_vela_leaves() -> None:
    assert judge_vela.REFUSED.findall(VELA_LOG) == [("RESIZE_BILINEAR", "ResizeBilinear_2")]


def test_what_vela_estimates() -> None:
    summary = "core_clock,inference_time,sram_memory_used,cycles_total\n500000000.0,0.01765577,1288.4375,8827885\n"
    assert dict(judge_vela.estimates(summary)) == {
        "cycles": "8,827,885",
        "time": "17.66 ms at 500 MHz",
        "SRAM": "1,288 KiB",
    }
    assert judge_vela.estimates("") == ()


def opinion(*left: int, partitions: int | None = None) -> Opinion:
    kinds = frozenset(CHAIN.operations[index].kind for index in left)
    return Opinion("judge", len(CHAIN.operations) - len(left), frozenset(left), kinds, partitions)


def test_agreement_on_every_operation() -> None:
    found = agreement(CHAIN, split(CHAIN, TAKES_RELU), opinion(1, partitions=2))
    assert (found.alike, found.share, found.differences, found.partitions) == (3, 1.0, (), (2, 2))


def test_an_operation_that_only_one_takes() -> None:
    found = agreement(CHAIN, split(CHAIN, TAKES_RELU), opinion(1, 2))
    assert found.alike == 2
    assert found.differences == (("RELU", "layer", "our rules"),)
    found = agreement(CHAIN, split(CHAIN, TAKES_RELU), opinion())
    assert found.differences == (("TILE", "layer", "the judge"),)


def test_a_judge_that_tells_kinds_only() -> None:
    said = Opinion("judge", 2, None, frozenset({"TILE"}))
    assert agreement(CHAIN, split(CHAIN, TAKES_RELU), said).share == 1.0
    wrong = Opinion("judge", 1, None, frozenset({"RELU"}))
    found = agreement(CHAIN, split(CHAIN, TAKES_RELU), wrong)
    assert found.alike == 0
    assert {kind for kind, _, _ in found.differences} == {"RELU", "TILE"}


def test_delegates_without_a_compiler_here() -> None:
    with pytest.raises(UsageError, match="xnnpack, gpu, ethos-u"):
        ask(CHAIN, "coreml")


def test_an_absent_compiler_names_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "mobile-seg\[vela\]"'):
        ask(CHAIN, "ethos-u")


def test_a_name_that_the_file_has_not_is_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(judge_vela, "compile_in_child", lambda path: ({("RELU", "elsewhere")}, ()))
    with pytest.raises(ProfileError, match="by a name"):
        ask(Graph(str(Path("a.tflite")), 0, CHAIN.operations, (), (), 1), "ethos-u")


def test_vela_names_an_activation_that_the_file_has_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = made.graph(("CONV_2D", [0], [1]))
    fused.operations[0].options["fused_activation_function"] = "RELU6"
    name = fused.operations[0].outputs[0].name
    monkeypatch.setattr(judges.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(judge_vela, "compile_in_child", lambda path: ({("RELU6", name)}, ()))
    assert ask(Graph(str(Path("a.tflite")), 0, fused.operations, (), (), 1), "ethos-u").left == {0}
