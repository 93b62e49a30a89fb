"""The Android demo, built and run as far as a machine without phone, Gradle and Google's Maven repository can.

`android_demo/ci/build.py` does it, with what Maven Central has, pinned by hash; this drives it. It takes a JDK, Maven
and Debian's `apksigner`; `make test-android` runs it. Where one of them is absent the tests are skipped,
with the line that installs it.

Golden files are those that every app is tested on (`golden/apps.py`). `MOBILE_SEG_ANDROID_SCREENSHOT` names a file for
the picture that the documentation shows, `MOBILE_SEG_ANDROID_RUN` the run to show in it; without these it is of a
golden model that has learnt a little, and goes to a temporary folder.
"""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from golden import apps

from mobile_seg.bundling import APPS, INDEX, bundle
from mobile_seg.data.toy import draw_scene
from mobile_seg.errors import ProfileError
from mobile_seg.imaging import resize_image
from mobile_seg.profiling.runners.app import _intent
from mobile_seg.profiling.runners.base import Job
from mobile_seg.profiling.runners.result import parse_result

pytestmark = pytest.mark.slow

APP = Path(__file__).parents[2] / "android_demo"
WORK = APP / "build" / "ci"
SECONDS = 3600
JOB = Job(delegate="xnnpack", threads=2, warmup=1, runs=4, seconds=60.0)
SIZES = ((96, 128), (72, 80), (36, 44), (24, 32))

Step = Callable[..., str]


def _build(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, APP / "ci" / "build.py", *words]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=SECONDS, check=False, cwd=APP
    )


@pytest.fixture(scope="session")
def machine() -> None:
    """Skips where a program that the build needs is absent."""
    absent = [name for name in ("java", "javac", "mvn", "apksigner") if shutil.which(name) is None]
    if absent:
        pytest.skip(f"no {' '.join(absent)}: python android_demo/ci/build.py install")


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory, machine: None) -> Path:
    """The golden files; `MOBILE_SEG_GOLDEN` names ones made before."""
    given = os.environ.get("MOBILE_SEG_GOLDEN")
    return Path(given) if given else apps.write(tmp_path_factory.mktemp("golden")).parent


@pytest.fixture(scope="session")
def assets(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `mobile-seg bundle` makes of the golden models."""
    app = tmp_path_factory.mktemp("app")
    return bundle(golden / "models", app="android", folder=app).folder.parent


@pytest.fixture(scope="session")
def broken(golden: Path, assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with files that no app may take, listed as if they were sound."""
    folder = tmp_path_factory.mktemp("broken") / "assets"
    shutil.copytree(assets, folder)
    index = json.loads((folder / "models" / INDEX).read_text("utf-8"))
    for bad in json.loads((golden / "index.json").read_text("utf-8"))["bad"]:
        name = Path(bad["file"]).name
        shutil.copy(golden / bad["file"], folder / "models")
        row = dict(index["models"][0], file=name)
        index["models"].append({**row, "manifest": {**row["manifest"], "precision": "bad", "model": name}})
    (folder / "models" / INDEX).write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests in Kotlin are given beside models, and where they leave their results."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "results").mkdir()
    _write_pictures(folder)
    words = _intent("/data/local/tmp/x/model.tflite", "/sdcard/Android/data/dev.mobileseg.demo/files/x.json", JOB)
    (folder / "intent").write_text("\n".join(words))
    return folder


@pytest.fixture(scope="session")
def step(golden: Path, made: Path) -> Step:
    """Do a step of the build, everything compiled before, and return what it said."""
    done = _build("fetch", "compile")
    assert done.returncode == 0, done.stderr[-6000:]
    defines = {
        "golden": golden,
        **{name: made / name for name in ("results", "resize", "intent")},
        "picture": made / "scene.png",
        "screenshot": made / "screen.png",
    }

    def run(name: str, assets: Path, **more: Path) -> str:
        given = [f"--define={key}={value}" for key, value in {**defines, **more}.items()]
        done = _build("--assets", assets, *given, name)
        assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
        return done.stdout

    return run


def _write_pictures(folder: Path) -> None:
    """A scene to show, and what Python makes of a picture at other sizes."""
    scene = draw_scene((7, 100), (48, 64)).image
    (folder / "resize").mkdir()
    cv2.imwrite(str(folder / "resize" / "scene.png"), cv2.cvtColor(scene, cv2.COLOR_RGB2BGR))
    for height, width in SIZES:
        resize_image(scene, (height, width)).tofile(folder / "resize" / f"scene.{height}x{width}.rgb")
    shown = draw_scene((7, 101), (960, 1280)).image
    cv2.imwrite(str(folder / "scene.png"), cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))


def _passed(said: str) -> int:
    found = re.search(r"^OK \((\d+) tests\)", said, re.MULTILINE)
    assert found, said[-4000:]
    return int(found[1])


@pytest.fixture(scope="session")
def core_said(step: Step, assets: Path) -> str:
    """What the core's tests printed; they ran once."""
    return step("core", assets)


@pytest.fixture(scope="session")
def app_said(step: Step, broken: Path) -> str:
    """What the app's tests printed; they ran once."""
    return step("app", broken)


def test_the_core_on_the_jvm(core_said: str) -> None:
    """Masks of the golden files by real inference, bad files, both sides of the benchmark's JSON."""
    assert _passed(core_said) > 40


def test_the_activities_under_robolectric(app_said: str) -> None:
    assert _passed(app_said) > 15


def test_what_the_app_writes_is_what_the_profiler_reads(made: Path, core_said: str, app_said: str) -> None:
    results = made / "results"
    for name, asked, runs in (("xnnpack", "xnnpack", 3), ("none", "none", 3), ("activity", JOB.delegate, JOB.runs)):
        found = parse_result((results / f"{name}.json").read_bytes(), asked=asked, runs=runs, who="the app")
        assert len(found.samples_ms) == runs
        assert found.delegate.taken in (("none",) if asked == "none" else ("all", "part")), name
        assert found.versions[0][0] == "tflite"
    for path in sorted(results.glob("error_*.json")):
        with pytest.raises(ProfileError, match=r"^the app: \S"):
            parse_result(path.read_bytes(), asked="gpu", runs=3, who="the app")
    assert len(list(results.glob("error_*.json"))) == 4


def test_the_package(step: Step, assets: Path) -> None:
    said = step("apk", assets)
    assert re.search(r"^Verified using v2 scheme .*: true$", said, re.MULTILINE)
    for words in (
        "package: name='dev.mobileseg.demo' versionCode='1'",
        "minSdkVersion:'24'",
        "targetSdkVersion:'35'",
        "uses-permission: name='android.permission.CAMERA'",
        "uses-feature-not-required: name='android.hardware.camera'",
        "launchable-activity: name='dev.mobileseg.demo.MainActivity'",
        "native-code: 'arm64-v8a'",
    ):
        assert words in said, said
    with zipfile.ZipFile(WORK / "mobile-seg-demo.apk") as package:
        members: dict[str, Any] = {info.filename: info for info in package.infolist()}
        assert package.testzip() is None
        dex = package.read("classes.dex")
    assert dex.startswith(b"dex\n")
    for name in ("dev/mobileseg/demo/MainActivity", "dev/mobileseg/core/Mask", "org/tensorflow/lite/gpu/GpuDelegate"):
        assert f"L{name};".encode() in dex, name
    mapped = [f"lib/arm64-v8a/lib{name}.so" for name in ("tensorflowlite_jni", "tensorflowlite_gpu_jni")]
    mapped += [f"assets/models/{path.name}" for path in (assets / "models").glob("*.tflite")]
    for name in mapped:
        assert members[name].compress_type == zipfile.ZIP_STORED, name
        assert _data_at(WORK / "mobile-seg-demo.apk", members[name]) % (4096 if name.endswith(".so") else 4) == 0, name
    assert f"assets/models/{INDEX}" in members


def _data_at(package: Path, member: zipfile.ZipInfo) -> int:
    """Where a member's content begins: behind its local header, name and extra field."""
    with package.open("rb") as file:
        file.seek(member.header_offset + 26)
        return member.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))


def test_style(step: Step, assets: Path) -> None:
    step("lint", assets)


def test_the_picture_of_the_screen(step: Step, golden: Path, tmp_path: Path) -> None:
    """Drawn by Robolectric with Android's own graphics: what the app shows, though not on a phone."""
    target = Path(os.environ.get("MOBILE_SEG_ANDROID_SCREENSHOT", tmp_path / "screen.png")).absolute()
    run = os.environ.get("MOBILE_SEG_ANDROID_RUN", golden / "models" / "street_int8_logits_full_uint8.tflite")
    shown = bundle(run, app="android", folder=tmp_path).folder.parent
    step("screen", shown, screenshot=target)
    assert 610 < cv2.imread(str(target)).shape[1] < 620
    assert np.unique(cv2.imread(str(target)).reshape(-1, 3), axis=0).shape[0] > 200


def test_the_app_looks_where_models_are_put(assets: Path) -> None:
    assert assets.as_posix().endswith(APPS["android"].models.removesuffix("/models"))
