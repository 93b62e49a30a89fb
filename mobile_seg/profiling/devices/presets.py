"""Devices described as data: which delegates, thread counts and cores to measure with, as TOML."""

import dataclasses
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_seg.errors import UsageError
from mobile_seg.profiling.runners.base import DELEGATES

FOLDER = Path(__file__).parents[1] / "presets"
"""The presets that come with the package, `<name>.toml`."""

_TEXTS = ("title", "device", "runner", "abi", "cores", "notes")


@dataclass(frozen=True)
class Preset:
    """How a kind of phone or board is measured.

    `masks` name groups of cores, in hexadecimal with the lowest bit for the first core; `cores` is the group that
    runs are pinned to, empty for none. `abi` is Android's name of the instruction set, empty for any. `notes` say
    what the numbers are taken from.
    """

    name: str
    title: str
    device: str
    runner: str
    delegates: tuple[str, ...]
    threads: tuple[int, ...]
    abi: str = ""
    masks: tuple[tuple[str, str], ...] = ()
    cores: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured with."""
        wrong = [one for one in self.delegates if one not in DELEGATES]
        if wrong or not self.delegates:
            raise UsageError(f"{self.name}: delegates={self.delegates}; choose from {', '.join(DELEGATES)}")
        if not self.threads or not all(isinstance(one, int) and one > 0 for one in self.threads):
            raise UsageError(f"{self.name}: threads={self.threads}; give counts of 1 or more")
        for group, mask in self.masks:
            if not isinstance(mask, str) or not re.fullmatch(r"[0-9a-f]{1,16}", mask) or int(mask, 16) == 0:
                raise UsageError(f'{self.name}: masks.{group}={mask!r}; give hexadecimal digits such as "f0"')
        if self.cores and self.cores not in dict(self.masks):
            known = ", ".join(dict(self.masks)) or "none"
            raise UsageError(f"{self.name}: cores={self.cores!r} is no group of [masks]; there are: {known}")

    @property
    def mask(self) -> str:
        """Return the mask that runs are pinned to, or an empty text."""
        return dict(self.masks)[self.cores] if self.cores else ""


def names() -> list[str]:
    """Return the presets that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_preset(name_or_path: str | os.PathLike[str]) -> Preset:
    """Read a preset of the package by its name, or a file of one's own.

    Raises:
        UsageError: if there is none, it is no TOML, or a key is missing, unknown or holds something else.
    """
    text = os.fspath(name_or_path)
    path = Path(text) if text.endswith(".toml") else FOLDER / f"{text}.toml"
    if not path.is_file() or (not text.endswith(".toml") and text not in names()):
        raise UsageError(f"--preset {text!r} is neither a .toml file nor one of {', '.join(names())}")
    return preset_of(_toml(path), name=path.stem)


def preset_of(value: dict[str, Any], *, name: str) -> Preset:
    """Make a preset of a parsed file; unknown keys are refused.

    Raises:
        UsageError: as `load_preset` does.
    """
    fields = {field.name: field for field in dataclasses.fields(Preset) if field.name != "name"}
    for key in value:
        if key not in fields:
            raise UsageError(f"{name}: unknown key {key!r}; accepted: {', '.join(fields)}")
    missing = [key for key, field in fields.items() if field.default is dataclasses.MISSING and key not in value]
    if missing:
        raise UsageError(f"{name}: {', '.join(missing)} missing")
    for key in _TEXTS:
        if not isinstance(value.get(key, ""), str):
            raise UsageError(f"{name}: {key} must be text")
    for key, kind in (("delegates", list), ("threads", list), ("masks", dict)):
        if not isinstance(value.get(key, kind()), kind):
            raise UsageError(f"{name}: {key} must be a {'table' if kind is dict else 'list'}")
    plain: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
    plain["masks"] = tuple(value.get("masks", {}).items())
    return Preset(name=name, **plain)


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
