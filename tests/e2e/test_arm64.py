"""Arm kernels, emulated: the same numbers as on x86-64, and none that is none. No duration is judged."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from e2e.phone import phones

from mobile_seg.profiling.runners.c_runner import SOURCE, WHEELS, build_line

pytestmark = pytest.mark.slow

SYSTEM = Path("/usr/aarch64-linux-gnu")
PACKAGES = "apt-get install -t bookworm-backports qemu-user libc6-arm64-cross libstdc++6-arm64-cross"
EMULATED = ["qemu-aarch64", "-cpu", "cortex-a76", "-L", str(SYSTEM)]
FORCE_FP16 = 4
"""XNNPACK's flag TFLITE_XNNPACK_DELEGATE_FLAG_FORCE_FP16: float models in half precision, where the core can."""

# What ends a program on the phone also runs it in the emulator.
TIMEOUT = f"""#!/bin/sh
limit="$1 $2 $3"
shift 3
exec /usr/bin/timeout $limit {" ".join(EMULATED)} "$@"
"""


class Built(NamedTuple):
    """The C program and the library it opens."""

    program: Path
    library: Path

    def outputs(self, model: Path, folder: Path, *, emulated: bool, flags: int = 0) -> list[bytes]:
        """Run a model once on noise, the same everywhere, and return its outputs."""
        folder.mkdir()
        words = [*(EMULATED if emulated else []), self.program, "--library", self.library, "--model", model]
        words += ["--warmup", "0", "--runs", "1", "--xnnpack-flags", flags, "--tensors", folder]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [path.read_bytes() for path in sorted(folder.glob("*.bin"))]


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Cross-built, with the library of the Arm wheel."""
    if shutil.which(EMULATED[0]) is None or not (SYSTEM / "lib" / "ld-linux-aarch64.so.1").exists():
        pytest.skip(f"there is no emulated Arm system here; install it with: {PACKAGES}")
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("the cross compiler is not here; install it with: pip install ziglang")
    folder = tmp_path_factory.mktemp("arm")
    program = folder / "litert_bench"
    subprocess.run([sys.executable, *build_line("arm64-v8a", output=str(program))[1:]], check=True)
    version = importlib.metadata.version("ai-edge-litert")
    wanted = ["--no-deps", "--only-binary=:all:", "--platform", WHEELS["arm64-v8a"], "--python-version", "3.11"]
    command = [sys.executable, "-m", "pip", "download", "-q", *wanted, "-d", str(folder), f"ai-edge-litert=={version}"]
    if (done := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"the Arm wheel of ai-edge-litert cannot be had: {done.stderr.strip().splitlines()[-1]}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Built(program, Path(archive.extract("ai_edge_litert/libLiteRt.so", folder)))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built for this machine."""
    program = tmp_path_factory.mktemp("here") / "litert_bench"
    subprocess.run(["cc", "-std=c11", "-O2", "-o", str(program), str(SOURCE), "-ldl"], check=True)
    spec = importlib.util.find_spec("ai_edge_litert")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Built(program, Path(spec.submodule_search_locations[0]) / "libLiteRt.so")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network as if trained, as int8 and as float32."""
    from mobile_seg.converters.tflite import convert_graph
    from mobile_seg.models.registry import build
    from mobile_seg.models.stand_in import as_if_trained
    from mobile_seg.quantization import quantize
    from mobile_seg.tflite import to_tflite

    size = (64, 96)
    noise = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.float32)
    network: Any = as_if_trained(build("mobile_spinenet_s49_minus", input_size=size, classes=5), noise)
    folder = tmp_path_factory.mktemp("models")
    contents = {
        "int8": to_tflite(quantize(network, [noise]), io="uint8"),
        "float32": convert_graph(network, precision="float32", io="float").content,
    }
    for name, content in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return {name: folder / f"{name}.tflite" for name in contents}


def test_int8_is_the_same_bit_for_bit(arm: Built, here: Built, models: dict[str, Path], tmp_path: Path) -> None:
    on_arm = arm.outputs(models["int8"], tmp_path / "arm", emulated=True)
    on_x86 = here.outputs(models["int8"], tmp_path / "x86", emulated=False)
    assert on_arm == on_x86
    assert len(np.unique(np.frombuffer(on_arm[0], np.uint8))) > 10  # not a constant


def test_half_precision_gives_numbers(arm: Built, here: Built, models: dict[str, Path], tmp_path: Path) -> None:
    half = arm.outputs(models["float32"], tmp_path / "half", emulated=True, flags=FORCE_FP16)
    whole = here.outputs(models["float32"], tmp_path / "whole", emulated=False)
    for found, expected in zip(half, whole, strict=True):
        low, high = np.frombuffer(found, np.float32), np.frombuffer(expected, np.float32)
        assert np.isfinite(low).all()
        assert not np.array_equal(low, high)  # else the flag did nothing
        # Every result and weight is off by 2^-11/sqrt(3) = 2.8e-4 of itself (rms); after 260 operations in a row by
        # sqrt(260) times that, 4.5e-3 of the range, and untrained blocks amplify it: three times as much.
        assert np.sqrt(np.square(low - high).mean()) < 0.014 * np.ptp(high)


@pytest.fixture
def scripts(tmp_path: Path) -> dict[str, Path]:
    """What makes the stand-in an Arm phone: its name, and an emulator under each program."""
    (tmp_path / "timeout").write_text(TIMEOUT)
    (tmp_path / "getprop").write_text("#!/bin/sh\n[ $1 = ro.product.cpu.abi ] && echo arm64-v8a\n")
    for name in ("timeout", "getprop"):
        (tmp_path / name).chmod(0o755)
    return {name: tmp_path / name for name in ("timeout", "getprop")}


def test_an_arm_phone_behind_adb(arm: Built, models: dict[str, Path], scripts: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    tools = ("--runner", "c", "--c-runner", arm.program, "--litert-library", arm.library)
    with phones(folder, extra=scripts) as phone:
        words = ("--device", "adb", *tools, "--threads", "1", "--runs", "2", "--warmup", "0", "--rounds", "2")
        done = phone.run(sys.executable, "-m", "mobile_seg", "profile", models["int8"], *words, seconds=300)
        assert done.returncode == 0, done.stderr
        assert "arm64-v8a" in done.stdout
        assert "xnnpack: part" in done.stdout
        assert phone.left() == []
