"""Artifacts put into the apps: what is copied, what the index says, what is taken away again."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from unit.verify import tiny

from mobile_seg import bundling
from mobile_seg.artifact import read_manifest
from mobile_seg.bundling import APPS, INDEX, bundle, find_artifacts
from mobile_seg.errors import ArtifactError, DiskError, UsageError
from mobile_seg.manifest import Manifest


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two artifacts, what stands beside them, and one that only iOS takes."""
    folder = tmp_path / "run" / "artifacts"
    folder.mkdir(parents=True)
    tiny.save(folder, tiny.INT8, "small_int8.tflite")
    tiny.save(folder, tiny.FLOAT32, "small_float32.tflite")
    (folder / "small_int8.json").write_text("{}")
    return folder.parent


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "android_demo"
    folder.mkdir()
    return folder


def test_android_gets_every_tflite_and_an_index(run: Path, app: Path) -> None:
    done = bundle(run, app="android", folder=app)
    assert done.folder == app / "app/src/main/assets/models"
    assert done.models == ("small_float32.tflite", "small_int8.tflite")
    assert sorted(path.name for path in done.folder.iterdir()) == [INDEX, *done.models]
    index = json.loads((done.folder / INDEX).read_text("utf-8"))
    assert index["format_version"] == 1
    for row, name in zip(index["models"], done.models, strict=True):
        content = (run / "artifacts" / name).read_bytes()
        assert (done.folder / name).read_bytes() == content
        assert (row["file"], row["bytes"]) == (name, len(content))
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert Manifest.from_json(json.dumps(row["manifest"])) == read_manifest(done.folder / name)


def test_bundling_again_takes_away_what_it_brought_and_nothing_else(run: Path, app: Path) -> None:
    folder = bundle(run, app="android", folder=app).folder
    (folder / "mine.tflite").write_bytes(b"not of a bundle")
    (run / "artifacts" / "small_float32.tflite").unlink()
    done = bundle(run, app="android", folder=app)
    assert done.removed == ("small_float32.tflite",)
    assert sorted(path.name for path in folder.iterdir()) == [INDEX, "mine.tflite", "small_int8.tflite"]


def test_an_index_cannot_reach_outside_of_its_folder(run: Path, app: Path) -> None:
    folder = bundle(run, app="android", folder=app).folder
    treasure = app / "treasure"
    treasure.write_text("kept")
    depth = "../" * 5
    rows = [{"file": f"{depth}treasure"}, {"file": str(treasure)}, {"file": ".."}, {"file": 3}]
    (folder / INDEX).write_text(json.dumps({"models": rows}))
    bundle(run, app="android", folder=app)
    assert treasure.read_text() == "kept"


def test_a_package_is_bundled_whole_into_ios(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = run / "artifacts" / "small.mlpackage"
    (package / "Data").mkdir(parents=True)
    (package / "Data" / "weights").write_bytes(b"12345")
    from mobile_seg.verify import runners

    given = tiny.manifest()
    monkeypatch.setattr(runners, "require_manifest", lambda path: given)
    app = tmp_path / "ios_demo"
    app.mkdir()
    done = bundle(run, app="ios", folder=app)
    assert done.models == ("small.mlpackage",)
    assert done.left_out == ("small_float32.tflite", "small_int8.tflite")
    assert (done.folder / "small.mlpackage" / "Data" / "weights").read_bytes() == b"12345"
    (row,) = (row for row in json.loads((done.folder / INDEX).read_text())["models"] if row["file"] == package.name)
    assert row["bytes"] == 5
    package.rename(package.with_name("other.mlpackage"))
    again = bundle(run, app="ios", folder=app)
    assert again.removed == ("small.mlpackage",)
    assert sorted(path.name for path in done.folder.iterdir()) == [INDEX, "other.mlpackage"]


def test_a_package_counts_by_its_contents(tmp_path: Path) -> None:
    digests = set()
    for name, content in (("a", b"1"), ("b", b"1"), ("a", b"2")):
        package = tmp_path / f"{name}{content!r}"
        package.mkdir()
        (package / name).write_bytes(content)
        digests.add(bundling._digest(package))
    assert len(digests) == 3


def test_the_web_page_comes_along(run: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = bundle(run, app="web", folder=site)
    assert done.folder == site / "models"
    for name in ("index.html", "style.css", "js/app.js", "js/manifest.js", "package-lock.json", f"models/{INDEX}"):
        assert (site / name).is_file(), name


def test_one_file_or_a_folder_of_them_will_do(run: Path) -> None:
    assert list(find_artifacts(run / "artifacts")) == list(find_artifacts(run))
    (found,) = find_artifacts(run / "artifacts" / "small_int8.tflite").values()
    assert found.precision == "int8"


def test_misuse_is_said(run: Path, app: Path, tmp_path: Path) -> None:
    for words, says in (
        ({"run": tmp_path / "no", "app": "android", "folder": app}, "does not exist; give a run's folder"),
        ({"run": app, "app": "android", "folder": app}, "holds no artifact for this app"),
        ({"run": run, "app": "ios", "folder": app}, "make one with `mobile-seg export --to coreml`"),
        ({"run": run, "app": "windows", "folder": app}, "choose from android, ios, web"),
        (
            {"run": run, "app": "android", "folder": tmp_path / "nowhere"},
            "folder of the android app with --to",
        ),
        ({"run": run / "model.keras", "app": "android", "folder": app}, r"not what this app runs \(\.tflite\)"),
    ):
        with pytest.raises(UsageError, match=says):
            bundle(words.pop("run"), **words)


def test_a_file_without_manifest_is_no_artifact(run: Path, app: Path) -> None:
    (run / "artifacts" / "strange.tflite").write_bytes(tiny.flatbuffer())
    with pytest.raises(ArtifactError, match="carries no manifest"):
        bundle(run, app="android", folder=app)
    assert not (app / APPS["android"].models).exists()


def test_a_damaged_index_is_said(run: Path, app: Path) -> None:
    folder = bundle(run, app="android", folder=app).folder
    (folder / INDEX).write_text("[]")
    with pytest.raises(ArtifactError, match="remove it and bundle again"):
        bundle(run, app="android", folder=app)


def test_a_full_disk_is_said(run: Path, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DiskError, match="No space left"):
        bundle(run, app="android", folder=app)
    assert not (app / APPS["android"].models / INDEX).exists()
