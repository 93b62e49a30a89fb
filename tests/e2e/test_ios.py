"""The iOS demo as far as Linux goes: the core built and tested in Swift, with real inference on the golden models.

`make test-ios` gets the toolchain. What only Xcode or a phone can tell is listed in `ios_demo/README.md`.
"""

import json
import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ai_edge_litert
import numpy as np
import pytest
import yaml
from golden import street

from mobile_seg.bundling import APPS, bundle
from mobile_seg.converters.coreml.writer import convert_coreml
from mobile_seg.converters.options import ExportOptions
from mobile_seg.data.toy import CLASSES
from mobile_seg.files import write_bytes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
APP = ROOT / "ios_demo"
KIT = APP / "MobileSegKit"
BUILD = ROOT / ".toolchains" / "ios-build"
LIBRARY = Path(ai_edge_litert.__file__).parent
"""Where `libLiteRt.so` is."""

SECONDS = 3600
"""A build takes one to five minutes of two cores."""

Swift = Callable[..., subprocess.CompletedProcess[str]]


def run(*words: object, sees: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of the Swift toolchain, which also sees the folders named."""
    return subprocess.run(
        [str(APP / "swift.sh"), *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "MOBILE_SEG_SWIFT_SEES": sees, "LD_LIBRARY_PATH": str(LIBRARY), **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(scope="session")
def swift() -> Swift:
    """The toolchain; skips where there is none. It is not installed for a test's sake: that is `make test-ios`."""
    if sys.platform != "linux":
        pytest.skip("LiteRT's library is tested on Linux; on a Mac, test the package in Xcode")
    if shutil.which("swift") is None and not (ROOT / ".toolchains" / "swift").is_dir():
        pytest.skip("no Swift: make test-ios gets it, or install Swift 6 from https://swift.org/install")
    return run


@pytest.fixture(scope="session")
def package(swift: Swift, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`swift build`, `swift test` on the package; warnings are errors."""
    temporary = tmp_path_factory.getbasetemp()

    def call(verb: str, *words: str, golden: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        where = ("--package-path", KIT, "--scratch-path", BUILD)
        flags = ("-Xswiftc", "-warnings-as-errors", "-Xlinker", f"-L{LIBRARY}")
        sees = f"{temporary}:{golden}:{LIBRARY}"
        return swift("swift", verb, *where, *flags, *words, sees=sees, MOBILE_SEG_GOLDEN=str(golden), **environment)

    return call


@pytest.fixture(scope="session")
def golden(swift: Swift, golden_files: Path) -> Path:
    """The golden files, made once Swift is known to be there."""
    return golden_files


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory, swift: Swift) -> Path:
    """The folder that the app reads, with one real Core ML package."""
    graph = street.reference_model("float32", "logits")
    options = ExportOptions(precision="float16", target="coreml")
    made = convert_coreml(graph, options=options, manifest=street.manifest_of(graph), integer_graph=False)
    exported, app = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("ios_demo")
    assert isinstance(made.content, dict)
    for name, content in made.content.items():
        write_bytes(exported / "street_float16.mlpackage" / name, content)
    done = bundle(exported, app="ios", folder=app)
    assert (done.folder / "street_float16.mlpackage" / "Manifest.json").is_file()
    return done.folder


def test_the_core_builds_and_its_masks_are_those_of_python(
    package: Any, golden: Path, bundled: Path, index: dict[str, Any]
) -> None:
    done = package("test", golden=golden, MOBILE_SEG_BUNDLED=str(bundled))
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    lines = done.stdout.splitlines()
    compared = [line.removeprefix("golden: ") for line in lines if line.startswith("golden: ")]
    assert sorted(compared) == sorted(case["name"] for case in index["cases"])
    assert f"catalogue: street_float16.mlpackage image [1, 48, 64, 3] float32 [1, 24, 32, {len(CLASSES)}]" in lines
    assert "skipped" not in done.stdout


def test_a_mistake_would_be_seen(package: Any, golden: Path, index: dict[str, Any], tmp_path: Path) -> None:
    """The same comparison, on one image with red and blue swapped and one bad file that is not bad."""
    planted = tmp_path / "golden"
    shutil.copytree(golden, planted)
    case = next(case for case in index["cases"] if case["name"] == "street_int8_logits_uint8_0")
    pixels = np.fromfile(golden / case["image"], np.uint8).reshape(-1, 3)
    pixels[:, ::-1].tofile(planted / "swapped.rgb")
    (planted / "sound.tflite").write_bytes((golden / case["model"]).read_bytes())
    cases = [{**case, "name": "swapped", "image": "swapped.rgb"}, case]
    bad = [{"file": "sound.tflite", "what": "nothing", "says": "manifest"}]
    (planted / "index.json").write_text(json.dumps({**index, "cases": cases, "bad": bad}))
    done = package("test", "--filter", "GoldenTests", golden=planted)
    assert done.returncode != 0
    failed = [line for line in done.stdout.splitlines() if "recorded an issue" in line]
    assert all("swapped" in line or "nothing" in line for line in failed), failed
    assert any("<= (one.tolerance" in line for line in failed), failed
    assert any("wrong.count" in line for line in failed), failed
    assert "sound.tflite was taken" in done.stdout


def test_each_stage_is_measured(swift: Swift, package: Any, golden: Path, index: dict[str, Any]) -> None:
    done = package("build", "--product", "measure", golden=golden)
    assert done.returncode == 0, done.stdout[-5000:]
    case = index["cases"][0]
    program = BUILD / "debug" / "measure"
    measured = swift(program, golden / case["model"], golden / case["image"], sees=f"{golden}:{LIBRARY}")
    assert measured.returncode == 0, measured.stderr
    times = json.loads(measured.stdout)
    assert set(times) == {"runs", "warmup", "pre_ms", "inference_ms", "post_ms"}
    assert all(value > 0 for value in times.values())
    refused = swift(program, golden / "bad/no_manifest.tflite", golden / case["image"], sees=f"{golden}:{LIBRARY}")
    assert refused.returncode == 1
    assert "error: no_manifest.tflite carries no manifest" in refused.stderr


def sources() -> list[Path]:
    return sorted(path for folder in (APP / "App", KIT, APP / "StandIns") for path in folder.rglob("*.swift"))


def test_every_source_parses(swift: Swift) -> None:
    """Those that need Apple's frameworks too."""
    found = sources()
    assert {"MobileSegApp.swift", "CoreMLEngine.swift", "LiteRTEngine.swift"} <= {path.name for path in found}
    done = swift("swiftc", "-parse", *found)
    assert done.returncode == 0, done.stderr


def test_a_syntax_error_would_be_seen(swift: Swift) -> None:
    """Where Apple's frameworks are absent, what asks for them is parsed nevertheless."""
    broken = BUILD / "broken.swift"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("#if canImport(CoreML)\nstruct Broken { func }\n#endif\n")
    assert swift("swiftc", "-parse", broken).returncode != 0


def test_the_app_fits_its_core(swift: Swift) -> None:
    """Types checked where Apple's frameworks are stood in for by what `StandIns/check.sh` says."""
    modules = BUILD.with_name("ios-stand-ins")
    done = swift(APP / "StandIns" / "check.sh", modules)
    assert done.returncode == 0, done.stderr
    wrong = modules / "wrong.swift"
    wrong.write_text("import MobileSeg\nimport SwiftUI\nlet text = Text(Catalogue.formatVersion)\n")
    done = swift("swiftc", "-typecheck", "-I", modules, wrong)
    assert "cannot convert value of type 'Int'" in done.stderr


def test_every_source_is_in_the_house_format(swift: Swift) -> None:
    done = swift("swift", "format", "lint", "--strict", *sources())
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_no_app_source_imports_more_than_it_may() -> None:
    """The core is for every system: Foundation and Dispatch alone. No model is named anywhere."""
    for path in (KIT / "Sources" / "MobileSeg").glob("*.swift"):
        imported = {line.split()[1] for line in path.read_text("utf-8").splitlines() if line.startswith("import ")}
        assert imported <= {"Foundation", "Dispatch"}, path.name


def test_the_project_names_what_is_there() -> None:
    project = yaml.safe_load((APP / "project.yml").read_text("utf-8"))
    target = project["targets"]["MobileSegDemo"]
    for entry in target["sources"]:
        assert (APP / entry["path"]).is_dir(), entry
        for excluded in entry.get("excludes", ()):
            assert (APP / entry["path"] / excluded).exists(), excluded
    models = next(entry for entry in target["sources"] if entry.get("type") == "folder")
    assert models["path"] == APPS["ios"].models
    assert (APP / project["packages"]["MobileSegKit"]["path"] / "Package.swift").is_file()
    products = {entry["product"] for entry in target["dependencies"]}
    assert products == {"MobileSeg", "MobileSegCoreML"}
    assert all((KIT / "Sources" / product).is_dir() for product in products)
    with (APP / target["settings"]["base"]["INFOPLIST_FILE"]).open("rb") as file:
        info = plistlib.load(file)
    assert len(info["NSCameraUsageDescription"]) > 20
