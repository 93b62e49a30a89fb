"""The files of the web demo: where they stand, and whether the packages they load are installed."""

import json
from pathlib import Path

from mobile_seg.errors import ArtifactError, MissingExtraError

PACKAGES = ("package.json", "package-lock.json")
"""What npm installs the page's packages by, at the versions and hashes written there."""

LOADED = ("@litertjs/core", "@litertjs/wasm-utils")
"""The packages that the page loads; the others in `package.json` are for its tests."""

_PAGE = ("index.html", "style.css", "icon.svg", *PACKAGES)
_LOADED_FILES = ("dist/index.js", "wasm/*.js", "wasm/*.wasm")


def page_folder() -> Path:
    """The folder of the page: inside the installed package, or beside it in a checkout.

    Raises:
        ArtifactError: if it is in neither place.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "web_demo", package.parent / "web_demo"):
        if (folder / "index.html").is_file():
            return folder
    raise ArtifactError("the web demo's files are missing from this installation; install mobile-seg again")


def page_files() -> dict[str, Path]:
    """Path below the page's folder → file, of everything that makes the page, its packages left out.

    Raises:
        ArtifactError: if one is missing.
    """
    folder = page_folder()
    files = {name: folder / name for name in _PAGE}
    files |= {f"js/{path.name}": path for path in sorted((folder / "js").glob("*.js"))}
    missing = [name for name, path in files.items() if not path.is_file()]
    if missing:
        raise ArtifactError(f"{missing[0]} is missing from {folder}; install mobile-seg again")
    return files


def package_files(folder: Path) -> dict[str, Path]:
    """Path below the page's folder → file, of the packages that the page loads, found in `folder/node_modules`.

    Raises:
        MissingExtraError: with the install line, if one is absent or of another version than the page is made for.
    """
    wanted = json.loads((page_folder() / "package.json").read_text(encoding="utf-8"))["dependencies"]
    found: dict[str, Path] = {}
    for name in LOADED:
        package = folder / "node_modules" / name
        described = package / "package.json"
        version = json.loads(described.read_text(encoding="utf-8"))["version"] if described.is_file() else None
        if version != wanted[name]:
            state = f"has {version}" if version else "is not installed"
            raise MissingExtraError(
                f"the page runs on {name} {wanted[name]}, which {state} in {folder}; "
                f"install it with: {install_line(folder)}"
            )
        for pattern in _LOADED_FILES:
            for path in sorted(package.glob(pattern)):
                found[f"node_modules/{name}/{path.relative_to(package).as_posix()}"] = path
    return found


def install_line(folder: Path) -> str:
    """The command that installs the page's packages into its folder. It takes npm, which comes with Node.js."""
    return f"npm ci --omit=dev --ignore-scripts --prefix {folder}"
