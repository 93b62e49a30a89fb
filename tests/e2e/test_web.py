"""The web demo in a real Chromium: its masks are Python's, its messages are for people, nothing leaves it.

It takes Chromium (Debian's `chromium`, or what `MOBILE_SEG_CHROMIUM` names), Node.js, and the page's packages:
`npm ci --ignore-scripts --prefix web_demo`. `make test-web` runs it. Where one of them is absent the tests are skipped,
with the line that installs it.

Golden files are those that every app is tested on (`golden/apps.py`). A GPU in software stands for one in hardware:
numerics are real there, times are not. `MOBILE_SEG_SCREENSHOTS` names a folder for the pictures that the documentation
shows, `MOBILE_SEG_WEB_RUN` the run to show in them; without these they go to a temporary folder, of a golden model.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mobile_seg.artifact import read_manifest
from mobile_seg.cli.demo import PORT
from mobile_seg.demo_server import address, open_server, site
from mobile_seg.imaging import resize_image
from mobile_seg.verify.runners import open_artifact
from mobile_seg.web_page import page_folder

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).parents[2] / "web_demo" / "test" / "browser.mjs"
PACKAGES = DRIVER.parents[1]
SECONDS = 600

ON_WEBGPU = "float"
"""Precisions that WebGPU computes as they are. Integer models it computes in floats, and the page says so."""

Drive = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser; skips where anything that the tests need is absent."""
    found = os.environ.get("MOBILE_SEG_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in MOBILE_SEG_CHROMIUM")
    if shutil.which("node") is None:
        pytest.skip("no Node.js: install it from https://nodejs.org, or apt-get install nodejs npm")
    if not (PACKAGES / "node_modules" / "playwright-core").is_dir():
        pytest.skip(f"no Playwright: npm ci --ignore-scripts --prefix {PACKAGES}")
    return found


@pytest.fixture(scope="session")
def golden(chromium: str, golden_files: Path) -> Path:
    """The golden files, made once the browser is known to be there."""
    return golden_files


@pytest.fixture(scope="session")
def shown(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one float and one int8 model."""
    folder = tmp_path_factory.mktemp("shown")
    for name in ("street_float32_logits_uint8", "street_int8_logits_uint8"):
        shutil.copy(golden / "models" / f"{name}.tflite", folder)
    return folder


@pytest.fixture(scope="session")
def url(shown: Path) -> Iterator[str]:
    """The demo of those two, served by the product's own server."""
    yield from _serving(shown)


def _serving(run: Path) -> Iterator[str]:
    with open_server(site(run, packages=PACKAGES)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield address(server)
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def drive(chromium: str, url: str) -> Drive:
    """Run one check of the driver and return what it saw; nothing may crash or go elsewhere."""

    def run(check: str, **task: Any) -> dict[str, Any]:
        given = {"check": check, "url": url, "chromium": chromium, **task}
        done = subprocess.run(
            ["node", str(DRIVER), "-"],
            input=json.dumps(given, default=str),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        seen: dict[str, Any] = json.loads(done.stdout)
        assert seen["elsewhere"] == []
        assert seen["crashes"] == []
        return seen

    return run


@pytest.mark.parametrize(("accelerator", "gpu"), [("wasm", False), ("threads", False), ("webgpu", True)])
def test_masks_are_those_of_python(
    drive: Drive, golden: Path, index: dict[str, Any], accelerator: str, gpu: bool
) -> None:
    cases = [
        case
        for case in index["cases"]
        if not gpu or read_manifest(golden / case["model"]).precision.startswith(ON_WEBGPU)  # type: ignore[union-attr]
    ]
    seen = drive("golden", accelerator=accelerator, gpu=gpu, folder=golden, cases=cases)
    assert seen["isolated"]
    assert [row["name"] for row in seen["rows"]] == [case["name"] for case in cases]
    for row, case in zip(seen["rows"], cases, strict=True):
        assert row["wrong"] == 0, row
        assert row["length"][0] == row["length"][1], row
        if case["logits"]:
            assert row["error"] <= case["tolerance"], row
        assert (row["threads"] > 1) == (accelerator == "threads"), row
        assert row["counted"] == pytest.approx(1.0)
        assert row["notice"] == ""


def test_a_mistake_would_be_seen(drive: Drive, golden: Path, index: dict[str, Any], tmp_path: Path) -> None:
    """The same comparison, on images with red and blue swapped."""
    case = dict(next(case for case in index["cases"] if case["name"] == "street_int8_logits_uint8_0"))
    shutil.copytree(golden, tmp_path / "golden")
    pixels = np.fromfile(golden / case["image"], np.uint8).reshape(-1, 3)
    pixels[:, ::-1].tofile(tmp_path / "golden" / case["image"])
    (row,) = drive("golden", accelerator="wasm", folder=tmp_path / "golden", cases=[case])["rows"]
    assert row["wrong"] > 0
    assert row["error"] > case["tolerance"]


def test_webgpu_says_that_it_computes_integers_in_floats(drive: Drive, golden: Path, index: dict[str, Any]) -> None:
    cases = [case for case in index["cases"] if case["name"].startswith("street_int8_logits_uint8")]
    for row in drive("golden", accelerator="webgpu", gpu=True, folder=golden, cases=cases)["rows"]:
        assert "computes in floats" in row["notice"]
        assert row["other"] / row["pixels"] < 0.02, row  # 3 and 9 of 3072 were seen


def test_the_platforms_resize_is_the_one_trained_with(drive: Drive, golden: Path, index: dict[str, Any]) -> None:
    """Chromium's canvas, enlarging and reducing, against bilinear with half-pixel centres.

    Its weights are sixteenths, so off by up to 1/32 on each axis: 16 of 255 at the steepest edge, and one for rounding.
    On a scene that is half a step on average; with corners put on corners it is twice that.
    """
    picture = golden / index["cases"][0]["png"]
    image = cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB)
    for size in ((96, 128), (72, 80), (36, 44), (24, 32)):
        rgba = np.array(drive("resize", picture=picture, size=size)["rgba"], np.uint8).reshape(*size, 4)
        error = np.abs(rgba[..., :3].astype(int) - resize_image(image, size))
        assert error.max() <= 17, size
        assert error.mean() < 0.75, size


def test_the_page_in_use(drive: Drive, golden: Path, index: dict[str, Any]) -> None:
    seen = drive("use", picture=golden / index["cases"][0]["png"])
    assert seen["error"] == seen["first"]["error"] == ""
    assert seen["first"]["fps"].endswith(" ms")
    assert [(row["precision"], row["error"]) for row in seen["shown"]] == [("float32", ""), ("int8", "")]
    assert seen["basis"] == "median of the last 30 frames"
    assert len(seen["stages"]) == 6
    assert all(float(text.removesuffix(" ms")) >= 0 for text in seen["stages"])
    assert sum(float(line.rpartition("%")[0].lstrip("abcdefghijklmnopqrstuvwxyz_ ")) for line in seen["legend"]) > 99
    assert seen["focused"] != "BODY", "Tab reaches nothing"


def test_where_there_is_no_gpu_the_reason_is_shown(drive: Drive, golden: Path, index: dict[str, Any]) -> None:
    reasons = dict(drive("use", picture=golden / index["cases"][0]["png"])["disabled"])
    assert reasons["wasm"] == reasons["threads"] == ""
    assert reasons["webgpu"].startswith("Not here: ")


def test_webgpu_can_be_chosen(drive: Drive) -> None:
    seen = drive("accelerator", ids=["wasm", "webgpu"], gpu=True)
    assert (seen["chosen"], seen["error"]) == ("webgpu", "")
    assert seen["inference"].endswith(" ms")


def test_a_page_that_a_gpu_took_down_starts_without_it(drive: Drive) -> None:
    seen = drive("accelerator", ids=[], gpu=True, marker=True)
    assert "begins on WebAssembly" in seen["marked"]
    assert seen["chosen"] != "webgpu"


def test_bad_files_get_a_message_and_the_page_goes_on(
    drive: Drive, golden: Path, index: dict[str, Any], shown: Path
) -> None:
    good = shown / "street_int8_logits_uint8.tflite"
    seen = drive("refuse", files=[golden / bad["file"] for bad in index["bad"]], good=good)
    for bad in index["bad"]:
        message = seen["messages"][Path(bad["file"]).name]
        assert bad["says"] in message, bad["what"]
        assert "Unexpected" not in message
    assert (seen["after"], seen["precision"]) == ("", "int8")


def test_the_camera_runs_and_models_change_under_it(drive: Drive) -> None:
    seen = drive("camera", camera=True)
    assert (seen["error"], seen["stopped"]) == ("", True)
    assert float(seen["fps"]) > 0


def test_without_a_camera_it_says_so(drive: Drive) -> None:
    assert "No camera was found" in drive("camera")["error"] or "refused" in drive("camera")["error"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_mediapipe_in_the_browser_reads_our_files(drive: Drive, golden: Path, precision: str) -> None:
    """Logits at the input's size, and images of it: then its own resizes have nothing to do."""
    model = golden / "models" / f"street_{precision}_logits_full_uint8.tflite"
    for number in range(2):
        seen = drive("mediapipe", packages=PACKAGES, model=model, picture=golden / f"images/street_{number}.png")
        runner = open_artifact(model)
        image = cv2.cvtColor(cv2.imread(str(golden / f"images/street_{number}.png")), cv2.COLOR_BGR2RGB)
        expected = runner.segment(image)
        assert seen["labels"] == list(runner.manifest.classes)
        assert np.mean(np.array(seen["mask"]).reshape(-1, seen["width"]) == expected) > 0.999


@pytest.mark.parametrize(
    ("name", "width", "height", "whole"), [("web_laptop", 1280, 800, False), ("web_phone", 390, 844, True)]
)
def test_pictures_of_the_page(
    drive: Drive, url: str, tmp_path: Path, name: str, width: int, height: int, whole: bool
) -> None:
    folder = Path(os.environ.get("MOBILE_SEG_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    run = os.environ.get("MOBILE_SEG_WEB_RUN")
    serving = _serving(Path(run)) if run else iter([url])
    path = folder / f"{name}.png"
    seen = drive(
        "screenshot", url=next(serving), path=path, viewport={"width": width, "height": height}, sample=1, whole=whole
    )
    assert next(serving, None) is None
    assert seen["error"] == ""
    assert seen["overflow"] <= 0, "the page is wider than the screen"
    assert cv2.imread(str(path)).shape[1] == width
    assert len(np.unique(cv2.imread(str(path)).reshape(-1, 3), axis=0)) > 1000, "nothing is shown"


def test_what_needs_no_browser(chromium: str) -> None:
    done = subprocess.run(
        ["node", "--test", "test/unit.mjs"], cwd=PACKAGES, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_command_serves_and_ends_with_ctrl_c(shown: Path, chromium: str) -> None:
    words = ["demo", str(shown), "--no-browser", "--port", "0", "--packages", str(PACKAGES)]
    command = [sys.executable, "-m", "mobile_seg", *words]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        try:
            first, second = process.stdout.readline(), process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert f"{shown} at http://127.0.0.1:" in first
    assert str(PORT) not in first
    assert "Ctrl-C" in second
    assert err.strip() == "stopped"


def test_the_page_is_the_one_of_this_checkout(chromium: str) -> None:
    """What is served is what the driver stands beside, wherever the package is installed."""
    assert (page_folder() / "js" / "app.js").read_bytes() == (PACKAGES / "js" / "app.js").read_bytes()
