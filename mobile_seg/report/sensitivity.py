"""The ranking of layers by the damage that quantizing each alone does, as a chart on the page."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_seg.errors import UsageError
from mobile_seg.report import charts, checks
from mobile_seg.report.markup import decibel, escape, percent

MOST = 24
"""Layers shown; the others do less."""

PARTS = {"both": "weights and output", "weights": "weights alone", "output": "output alone"}


@dataclass(frozen=True)
class LayerDamage:
    """One layer of `sensitivity.json`: signal over error in dB (None: no error), share of pixels moved, what helps."""

    layer: str
    both: float | None
    weights: float | None
    output: float | None
    moved: float
    raised: str | None


def read(path: str | os.PathLike[str]) -> tuple[LayerDamage, ...]:
    """Read what `mobile-seg quantize --analyze` left; none if there is no such file.

    Raises:
        UsageError, ProfileError: if it is not what that writes.
    """
    if not Path(path).exists():
        return ()
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}; write it with `mobile-seg quantize --analyze`") from error
    checks.keys("sensitivity", record, required=("model", "scheme", "layers"))
    rows = checks.items("sensitivity.layers", record["layers"])
    return tuple(_layer(f"sensitivity.layers.{index}", row) for index, row in enumerate(rows))


def _layer(where: str, row: dict[str, Any]) -> LayerDamage:
    decibels = ("sqnr_db", "weights_sqnr_db", "activations_sqnr_db")
    checks.keys(where, row, required=("layer", "disagreement", "largest"), optional=(*decibels, "raised"))
    checks.text(f"{where}.layer", row["layer"])
    checks.fraction(f"{where}.disagreement", row["disagreement"])
    for key in decibels:
        if row.get(key) is not None:
            checks.number(f"{where}.{key}", row[key], low=-1000.0)
    both, weights, output = (row.get(key) for key in decibels)
    return LayerDamage(row["layer"], both, weights, output, row["disagreement"], row.get("raised"))


def section(layers: tuple[LayerDamage, ...]) -> str:
    """Return the section of the page; nothing without layers."""
    if not layers:
        return ""
    shown = layers[:MOST]
    errors = [{part: _error(getattr(layer, part)) for part in PARTS} for layer in shown]
    most = max(*(value for parts in errors for value in parts.values()), 1e-12)
    rows = "".join(
        f'<li><div class="charted"><span class="named"><code>{escape(layer.layer)}</code>'
        f'<span class="quiet">{_said(layer)}</span></span>{charts.damage_bars(parts, most=most)}</div></li>'
        for layer, parts in zip(shown, errors, strict=True)
    )
    keys = " ".join(f'<span class="key {part}">{name}</span>' for part, name in PARTS.items())
    rest = len(layers) - len(shown)
    more = f"<p>{rest} more layers do less than the last one shown.</p>" if rest else ""
    return (
        '<section id="sensitivity">\n<h2>Sensitivity</h2>\n'
        '<p class="say">What quantizing one layer alone does to the logits, all others in float: the size of the '
        f"error as a share of the signal, worst first; the longest bar is {percent(most)}. From "
        f'<code>sensitivity.json</code>.</p>\n<p class="keys">{keys}</p>\n<ol class="ranking">{rows}</ol>{more}\n'
        "</section>"
    )


def _error(decibels: float | None) -> float:
    """The error's size as a share of the signal's."""
    return 0.0 if decibels is None else 10.0 ** (-decibels / 20.0)


def _said(layer: LayerDamage) -> str:
    noise = "no error" if layer.both is None else decibel(layer.both)
    helped = "" if layer.raised is None else f"; raise to {escape(layer.raised)}"
    return f"{noise}, {percent(layer.moved)} of pixels move{helped}"
