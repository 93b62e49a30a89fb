"""What every network counts in its papers' settings: read from a record, since building them all takes minutes.

`docs/generate.py --count` counts anew; a slow test holds the record against the networks, a fast one against the rows.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mobile_seg.models.entry import Entry, Published
from mobile_seg.models.zoo import ENTRIES

RECORD = Path(__file__).parent / "zoo" / "counts.json"

PAPERS = {
    "arXiv:2103.12270": "SpineNet-Seg",
    "arXiv:1912.05027": "SpineNet",
    "Du et al., ECCV 2020": "Eff-SpineNet",
    "arXiv:2011.11675": "SWideRNet",
    "arXiv:1901.02985": "Auto-DeepLab",
    "arXiv:1801.04381": "MobileNetV2",
    "arXiv:1905.02244": "MobileNetV3",
    "arXiv:1512.03385": "ResNet",
}
"""What an entry's paper is about."""

UNPUBLISHED = ""
"""The source of a setting that no paper counts."""


@dataclass(frozen=True)
class Counted:
    """A network in one setting, with our counts and, in `published`, what its paper states."""

    entry: Entry
    published: Published
    params: int
    macs: int


def settings(entry: Entry) -> tuple[Published, ...]:
    """The settings an entry is counted in: its papers', or its first head at 512x512 with 21 classes."""
    return entry.published or (Published(UNPUBLISHED, (512, 512), 21, head=entry.heads[0]),)


def setting(entry: Entry, head: str | None = None) -> Published:
    """The setting to show a network in: with this head, or its first that is counted; without options if there is one.

    A head that no paper counts is shown at the size and with the classes of the first setting.
    """
    found = settings(entry)
    wanted = head or next((one for one in entry.heads if any(one == row.head for row in found)), entry.heads[0])
    exact = sorted((one for one in found if one.head == wanted), key=lambda one: len(one.options))
    return exact[0] if exact else Published(UNPUBLISHED, found[0].input_size, found[0].classes, head=wanted)


def rows() -> Iterator[tuple[Entry, Published]]:
    """Every network in each of its settings, as they are listed."""
    return ((entry, published) for entry in ENTRIES for published in settings(entry))


def in_short(options: Mapping[str, Any]) -> str:
    """Options of a setting: `+squeeze_excite -space_to_depth aspp_rates=12,24`."""
    return " ".join(_in_short(name, value) for name, value in options.items())


def _in_short(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"{'+' if value else '-'}{name}"
    return f"{name}={','.join(map(str, value)) if isinstance(value, (tuple, list)) else value}"


def build_setting(entry: Entry, published: Published) -> Any:
    """Build a network in a setting, without weights."""
    from mobile_seg.models.registry import build
    from mobile_seg.models.weightless import weightless

    with weightless():
        return build(
            entry.name,
            input_size=published.input_size,
            classes=published.classes,
            head=published.head,
            **published.options,
        )


def measure(entry: Entry, published: Published) -> dict[str, Any]:
    """Count a network: one row of the record."""
    from mobile_seg.models.cost import count

    cost = count(build_setting(entry, published))
    return {**_key(entry, published), "params": cost.params, "macs": cost.macs}


@cache
def recorded() -> tuple[Counted, ...]:
    """The record, in the order of `rows`.

    Raises:
        ValueError: if a row of the zoo is not in it.
    """
    found = {_text(row): row for row in json.loads(RECORD.read_text(encoding="utf-8"))}
    counted = []
    for entry, published in rows():
        row = found.get(_text(_key(entry, published)))
        if row is None:
            raise ValueError(f"{RECORD.name} lacks {entry.name} ({published.source}); run docs/generate.py --count")
        counted.append(Counted(entry, published, row["params"], row["macs"]))
    return tuple(counted)


def _key(entry: Entry, published: Published) -> dict[str, Any]:
    return {
        "name": entry.name,
        "head": published.head,
        "input_size": list(published.input_size),
        "classes": published.classes,
        "options": dict(published.options),
    }


def _text(row: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in row.items() if key not in ("params", "macs")}, sort_keys=True)
