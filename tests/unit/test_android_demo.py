"""What the Android demo promises, as far as its sources tell: the same words on both sides, pinned files."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mobile_seg.bundling import APPS
from mobile_seg.bundling import FORMAT_VERSION as INDEX_VERSION
from mobile_seg.data.toy import CLASSES
from mobile_seg.manifest import FORMAT_VERSION, MEMBER, OUTPUT_KINDS
from mobile_seg.profiling.runners.app import ACTIVITY, FILES, PACKAGE, AppRunner
from mobile_seg.profiling.runners.result import SCHEMA

APP = Path(__file__).parents[2] / "android_demo"
SOURCES = {path.name: path.read_text("utf-8") for path in APP.rglob("*.kt")}
CORE = {path.name: path.read_text("utf-8") for path in (APP / "core").rglob("*.kt")}
POMS = {path.parent.name: ElementTree.parse(path).getroot() for path in (APP / "ci" / "maven").rglob("pom.xml")}
NAMESPACE = "{http://maven.apache.org/POM/4.0.0}"


def test_the_manifest_is_read_as_it_is_written() -> None:
    text = CORE["Manifest.kt"]
    assert f"const val FORMAT_VERSION = {FORMAT_VERSION}\n" in text
    assert f'const val MEMBER = "{MEMBER}"\n' in text
    (kinds,) = re.findall(r"OUTPUT_KINDS = listOf\(([^)]*)\)", text)
    assert tuple(re.findall(r'"([^"]+)"', kinds)) == OUTPUT_KINDS


def test_models_lie_where_they_are_put() -> None:
    assert f"INDEX_VERSION = {INDEX_VERSION}\n" in CORE["ModelEntry.kt"]
    (folder,) = re.findall(r'FOLDER = "(.*)"', SOURCES["ModelLibrary.kt"])
    assert APPS["android"].models == f"app/src/main/assets/{folder}"


def test_the_benchmark_speaks_as_the_profiler_does() -> None:
    assert f'RESULT_SCHEMA = "{SCHEMA}"' in CORE["Benchmark.kt"]
    assert tuple(re.findall(r'^    [A-Z]+\("(\w+)", ', CORE["Engine.kt"], re.MULTILINE)) == AppRunner.delegates
    build = (APP / "app" / "build.gradle.kts").read_text("utf-8")
    assert f'applicationId = "{PACKAGE}"' in build
    manifest = ElementTree.parse(APP / "app/src/main/AndroidManifest.xml").getroot()
    android = "{http://schemas.android.com/apk/res/android}"
    activities = {one.get(f"{android}name"): one.get(f"{android}exported") for one in manifest.iter("activity")}
    assert activities[ACTIVITY.removeprefix(f"{PACKAGE}/")] == "true"
    assert "getExternalFilesDir(null)" in SOURCES["BenchmarkActivity.kt"]
    assert FILES.endswith(f"/Android/data/{PACKAGE}/files")


def test_the_core_knows_no_android() -> None:
    for name, text in CORE.items():
        assert not re.search(r"^import android", text, re.MULTILINE), name
    for name, text in SOURCES.items():
        assert "import androidx" not in text, name


def test_no_constant_is_about_a_model() -> None:
    shown = [path.read_text("utf-8") for path in APP.rglob("src/main/**/*") if path.suffix in (".kt", ".xml")]
    assert len(shown) > 20
    for name in CLASSES:
        assert not any(f'"{name}"' in text for text in shown), name


def test_files_are_short() -> None:
    for name, text in SOURCES.items():
        assert len(text.splitlines()) <= 250, name
        assert max(map(len, text.splitlines())) <= 120, name


def test_what_is_fetched_is_pinned_by_version_and_hash() -> None:
    rows = [line.split() for line in (APP / "ci" / "checksums.txt").read_text("utf-8").splitlines()]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest, _ in rows)
    files = [Path(name).name for _, name in rows]
    properties = {one.tag.removeprefix(NAMESPACE): one.text for one in POMS["maven"].find(f"{NAMESPACE}properties")}
    for pom in POMS.values():
        for dependency in pom.iter(f"{NAMESPACE}dependency"):
            artifact, version = (dependency.findtext(f"{NAMESPACE}{name}") for name in ("artifactId", "version"))
            for name, value in properties.items():
                version = version.replace(f"${{{name}}}", value)
            assert not re.search(r"[\[\]$(),]|SNAPSHOT", version), artifact
            assert any(file.startswith(f"{artifact}-{version}") for file in files), artifact


def test_gradle_takes_the_same_versions() -> None:
    toml = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    catalogue = toml.loads((APP / "gradle" / "libs.versions.toml").read_text("utf-8"))
    files = (APP / "ci" / "checksums.txt").read_text("utf-8")
    for name, library in catalogue["libraries"].items():
        artifact = library["module"].partition(":")[2].removesuffix("-platform")
        version = catalogue["versions"][library["version"]["ref"]]
        assert f"/{artifact}-{version}." in files, name
    assert f"/kotlin-stdlib-{catalogue['versions']['kotlin']}.jar" in files
    assert json.dumps(catalogue["plugins"]).count('"kotlin"') == 2
