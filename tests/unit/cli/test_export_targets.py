"""`mobile-seg export --target`: what is handed on, and what is said of each file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from unit.verify import tiny

from mobile_seg import api
from mobile_seg.profiling.delegates.check import DelegateCheck, Finding
from mobile_seg.targeting import Fit, Mended
from mobile_seg.verify.compare import Agreement

LEFT = Finding((("QUANTIZE", 1),), "requantization", "Signs must stay.", "u to i", "Feed int8.", "", ("image",))
CHECK = DelegateCheck(
    delegate="xnnpack",
    title="XNNPACK",
    about="kernels",
    operations=9,
    taken=8,
    partitions=1,
    macs=100,
    macs_taken=100,
    findings=(
        Finding((("QUANTIZE", 1),), "requantization", "Signs must stay.", "u to i", "Feed int8.", "", ("image",)),
    ),
    notes=(),
)
FIT = Fit("xnnpack", (Mended("nearest by copies", "Nearest becomes copies.", ("b1_up", "b2_up")),), CHECK, before=3)


def test_each_file_says_how_it_fits(cli: Callable[..., Any], stand_in: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "tiny_int8_xnnpack.tflite"
    path.write_bytes(bytes(2_500_000))
    agreement = Agreement(0.99871, None, None, None, None, pixels=9)
    file = api.Exported(path, tiny.manifest(), agreement, fit=FIT)
    export = stand_in(api, "export_all", return_value=api.Exports((file,), ()))
    ran = cli("export", tmp_path / "m.keras", "--data", "d.yaml", "--target", "xnnpack,edgetpu")
    assert (ran.code, export.call_args.kwargs["target"]) == (0, ("xnnpack", "edgetpu"))
    assert [line for line in ran.out.splitlines() if line.startswith("tiny_int8_xnnpack.tflite: ")] == [
        "tiny_int8_xnnpack.tflite: XNNPACK leaves 1, in one part",
        "tiny_int8_xnnpack.tflite: rewritten at b1_up, b2_up: Nearest becomes copies.",
        "tiny_int8_xnnpack.tflite: left at image: QUANTIZE x1: Signs must stay. (u to i) Fix: Feed int8.",
    ]


def test_without_a_target_the_graph_stays(
    cli: Callable[..., Any], stand_in: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "tiny_int8.tflite"
    path.write_bytes(b"0")
    file = api.Exported(path, tiny.manifest(), Agreement(1.0, None, None, None, None, pixels=9))
    export = stand_in(api, "export_all", return_value=api.Exports((file,), ()))
    ran = cli("export", tmp_path / "m.keras", "--data", "d.yaml")
    assert (ran.code, export.call_args.kwargs["target"]) == (0, (None,))
    assert "rewritten" not in ran.out


def test_an_unknown_target_is_misuse(cli: Callable[..., Any], tmp_path: Path) -> None:
    ran = cli("export", tmp_path / "m.keras", "--data", "d.yaml", "--target", "coral")
    assert ran.code == 2
    assert "--target" in ran.err
    assert "xnnpack, gpu, nnapi, edgetpu, ethos-u" in ran.err
