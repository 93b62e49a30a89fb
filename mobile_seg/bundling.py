"""Artifacts put where the apps look for them: the files and one `index.json` that lists them with their manifests.

The index is all that an app is told; no app holds a constant about a model:

    {"format_version": 1,
     "models": [{"file": "x_int8.tflite", "bytes": 2000595, "sha256": "…", "manifest": {…}}, …]}

`manifest` is the one inside the file (`mobile_seg.manifest`). Files are named as in the run. The digest of a package,
which is a folder, is that of its files' names and contents in the order of their names.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_seg import artifact
from mobile_seg.errors import ArtifactError, DiskError, UsageError, choose
from mobile_seg.files import publish, size_of, staging, write_bytes, write_json
from mobile_seg.manifest import Manifest
from mobile_seg.web_page import page_files

FORMAT_VERSION = 1
INDEX = "index.json"
PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class App:
    """Where an app stands in the repository, where in it models go, the format it runs and how to export it."""

    folder: str
    models: str
    suffixes: tuple[str, ...]
    export: str = "mobile-seg export"


APPS = {
    "android": App("android_demo", "app/src/main/assets/models", (".tflite",)),
    "ios": App("ios_demo", "App/Resources/Models", (".mlpackage",), "mobile-seg export --to coreml"),
    "web": App("web_demo", "models", (".tflite",)),
}


@dataclass(frozen=True)
class Bundled:
    """What was put where.

    `removed`: files of an earlier bundle that are not in this one. `left_out`: artifacts that the app does not run.
    """

    folder: Path
    models: tuple[str, ...]
    removed: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def find_artifacts(
    run: PathLike, *, suffixes: tuple[str, ...] = (".tflite",), export: str = "mobile-seg export"
) -> dict[Path, Manifest]:
    """The artifacts of a run's folder, of a folder of artifacts, or the one file given, with their manifests.

    `export` is the command that makes some of these suffixes, for messages.

    Raises:
        UsageError: if there is no such place, or nothing of these suffixes in it.
        ArtifactError: if one carries no manifest, or a damaged one.
        MissingExtraError: if what reads a format is not installed.
    """
    place = Path(run)
    if place.suffix in artifact.SUFFIXES:
        if place.suffix not in suffixes:
            raise UsageError(f"{place} is not what this app runs ({' '.join(suffixes)}); give one of those.")
        found = [place]
    elif not place.is_dir():
        raise UsageError(f"{place} does not exist; give a run's folder, as `mobile-seg quickstart` makes one.")
    else:
        found = [path for path in _artifacts_in(place) if path.suffix in suffixes]
    if not found:
        raise UsageError(f"{place} holds no artifact for this app ({' '.join(suffixes)}); make one with `{export}`.")
    from mobile_seg.verify.runners import require_manifest

    return {path: require_manifest(path) for path in found}


def _artifacts_in(place: Path) -> list[Path]:
    """Of a run's folder or a folder of artifacts; none of a file."""
    inside = place / "artifacts"
    folder = inside if inside.is_dir() else place
    return sorted(path for path in folder.glob("*") if path.suffix in artifact.SUFFIXES)


def index_of(artifacts: dict[Path, Manifest]) -> dict[str, Any]:
    """The index of these artifacts, as JSON takes it."""
    models = [
        {
            "file": path.name,
            "bytes": size_of(path),
            "sha256": _digest(path),
            "manifest": json.loads(manifest.to_json()),
        }
        for path, manifest in artifacts.items()
    ]
    return {"format_version": FORMAT_VERSION, "models": models}


def bundle(run: PathLike, *, app: str, folder: PathLike | None = None) -> Bundled:
    """Put the artifacts of `run` into an app and return what was put where.

    `folder` is the app's (None: the one of that name in the current folder). Artifacts of an earlier bundle that are
    not in this one are removed; other files stay. The web page itself is written too where it is not there yet: with
    its packages installed, the folder is a site that any server can serve.

    Raises:
        UsageError: for an unknown app, a folder that is not there, or a run without artifacts for it.
        ArtifactError, MissingExtraError, DiskError: as their names say.
    """
    chosen = APPS[choose("app", app, tuple(APPS))]
    root = Path(chosen.folder if folder is None else folder)
    artifacts = find_artifacts(run, suffixes=chosen.suffixes, export=chosen.export)
    if app == "web":
        _write_page(root)
    elif not root.is_dir():
        raise UsageError(f"{root} does not exist; give the folder of the {app} app with --to, or go to where it is.")
    models = root / chosen.models
    before = _listed(models / INDEX)
    with staging(models) as stage:
        for path in artifacts:
            publish(_copy(path, stage / path.name), models / path.name)
        write_json(models / INDEX, index_of(artifacts))
        removed = tuple(name for name in before if name not in {path.name for path in artifacts})
        for number, name in enumerate(removed):
            if (models / name).exists():
                publish(models / name, stage / f"removed{number}")
    left_out = tuple(path.name for path in _artifacts_in(Path(run)) if path not in artifacts)
    return Bundled(models, tuple(path.name for path in artifacts), removed, left_out)


def _write_page(root: Path) -> None:
    for name, source in page_files().items():
        if source.resolve() != (root / name).resolve():
            write_bytes(root / name, source.read_bytes())


def _copy(source: Path, target: Path) -> Path:
    try:
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DiskError(f"cannot copy {source} to {target.parent.parent}: {reason}; free some space.") from error
    return target


def _listed(index: Path) -> list[str]:
    """The names that an earlier bundle lists; names only, so that nothing outside of its folder is ever meant."""
    if not index.is_file():
        return []
    try:
        names = [row["file"] for row in json.loads(index.read_text(encoding="utf-8"))["models"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{index} is not an index of models ({error}); remove it and bundle again.") from error
    return [name for name in names if isinstance(name, str) and Path(name).name == name and _is_artifact(name)]


def _is_artifact(name: str) -> bool:
    return Path(name).suffix in artifact.SUFFIXES


def _digest(path: Path) -> str:
    if path.is_file():
        return artifact.sha256(path)
    digest = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        digest.update(bytes.fromhex(artifact.sha256(file)))
    return digest.hexdigest()
