"""From values to text: units, escaping, and numbers that carry their key in `results.json`."""

import html
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from typing import Any

from mobile_seg.report.results import Results

MINUS = "\N{MINUS SIGN}"

escape = html.escape


def percent(fraction: float) -> str:
    """0.6123 → `61.23%`."""
    return f"{100.0 * fraction:.2f}%"


def points(fraction: float) -> str:
    """A difference of two shares in percentage points, always with its sign: -0.0031 → `−0.31`."""
    rounded = f"{100.0 * fraction:+.2f}"
    return "0.00" if float(rounded) == 0.0 else rounded.replace("-", MINUS)


def milliseconds(value: float) -> str:
    """14.32 → `14.3`, 0.512 → `0.51`: three figures at most after which nothing is sure."""
    return f"{value:.1f}" if value >= 10.0 else f"{value:.2f}"


def bytes_(value: float) -> str:
    """Bytes in decimal units, as shops and stores count: 1913344 → `1.91 MB`."""
    return f"{value / 1e6:.2f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB"


def amount(value: float) -> str:
    """A large count in short form: 1383211 → `1.38 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:.0f}"


def whole(value: float) -> str:
    """A count in full, digits in groups of three."""
    return f"{value:,.0f}"


def decibel(value: float) -> str:
    """38.214 → `38.2 dB`."""
    return f"{value:.1f} dB"


def duration(seconds: float) -> str:
    """4325.0 → `1 h 12 min`, 42.4 → `42.4 s`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


class Quote:
    """Quotes numbers from a record, so that nothing on the page was typed or computed elsewhere.

    A quote is a `<data>` element: `value` holds the number as it is, `data-key` the keys it comes from.
    """

    def __init__(self, results: Results) -> None:
        self._record = results.to_dict()

    def value(self, key: str) -> float:
        """Return the value of a sum of dotted keys, as in `miou.int8 - miou.float`."""
        total, sign = 0.0, 1.0
        for word in key.split():
            if word in ("+", "-"):
                sign = 1.0 if word == "+" else -1.0
            else:
                total += sign * self._look_up(word)
        return total

    def __call__(self, key: str, style: Callable[[float], str]) -> str:
        """Return the HTML of the number at `key`, formatted by `style`."""
        value = self.value(key)
        return f'<data value="{value!r}" data-key="{escape(key)}">{escape(style(value))}</data>'

    def _look_up(self, key: str) -> float:
        value: Any = self._record
        for part in key.split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
        return float(value)


def table(caption: str, head: Iterable[str], rows: Iterable[str], *, kind: str) -> str:
    """Return a table. `head` and `rows` are HTML; the first column is text, the others are numbers."""
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    return (
        f'<div class="scroll"><table class="{kind}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(head: str, cells: Iterable[str], *, kind: str = "", names: Iterable[str] = ()) -> str:
    """Return a table row: a header cell and data cells, all HTML. `names` label the cells on a narrow screen."""
    labels = [f' data-name="{escape(name)}"' for name in names]
    body = "".join(f"<td{label}>{cell}</td>" for cell, label in zip_longest(cells, labels, fillvalue=""))
    attribute = f' class="{kind}"' if kind else ""
    return f'<tr{attribute}><th scope="row">{head}</th>{body}</tr>'


def definitions(pairs: Mapping[str, str]) -> str:
    """Return a list of terms (text) and their values (HTML)."""
    entries = (f"<div><dt>{escape(term)}</dt><dd>{value}</dd></div>" for term, value in pairs.items())
    return f"<dl>{''.join(entries)}</dl>"


def colour(rgb: "tuple[int, int, int]") -> str:
    """(128, 64, 128) → `#804080`."""
    red, green, blue = rgb
    return f"#{red:02x}{green:02x}{blue:02x}"
