"""Requirement lines of installed metadata, as far as this package writes them; the standard library reads none.

Not the `packaging` library: `doctor` has to work when everything else is missing.
"""

import operator
import platform
import re
import sys
from dataclasses import dataclass

_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Requirement:
    """`name`, its version clauses as text, the extra it belongs to, and whether it holds on this system."""

    name: str
    versions: str
    extra: str | None
    applies: bool


def parse_requirement(line: str) -> Requirement:
    """`jax<1,>=0.6; extra == "jax"` → name, versions, extra. Of other markers, two kinds are understood.

    Raises:
        ValueError: for a line of another form: it must not be taken as met.
    """
    text, _, marker = line.partition(";")
    match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([\d.,<>=!\s]*)\)?", text.strip())
    if not match:
        raise ValueError(f"requirement {line!r} cannot be read")
    extra, applies = None, True
    for condition in filter(None, (part.strip(" ()") for part in re.split(r"\band\b", marker))):
        parts = re.fullmatch(r"(\w+)\s*([<>=!]=?)\s*[\"']([^\"']*)[\"']", condition)
        if not parts:
            raise ValueError(f"requirement {line!r} has the marker {condition!r}, which is not understood")
        name, comparison, value = parts.groups()
        if name == "extra":
            extra = value
        elif name == "python_version":
            applies &= satisfies(platform.python_version(), comparison + value)
        elif name == "sys_platform" and comparison in ("==", "!="):
            applies &= (sys.platform == value) == (comparison == "==")
        else:
            raise ValueError(f"requirement {line!r} has the marker {name}, which is not understood")
    return Requirement(match[1], match[2].strip(), extra, applies)


def satisfies(version: str, clauses: str) -> bool:
    """Whether a version meets all of the comma-separated clauses (`>=2.3,<3`); release numbers only.

    Raises:
        ValueError: for a clause of another form.
    """
    for clause in filter(None, (part.strip() for part in clauses.split(","))):
        match = re.fullmatch(r"(>=|<=|==|!=|<|>)\s*([\d.]+)", clause)
        if not match:
            raise ValueError(f"version clause {clause!r} is not understood")
        found, wanted = _release(version), _release(match[2])
        length = max(len(found), len(wanted))
        padded = [numbers + (0,) * (length - len(numbers)) for numbers in (found, wanted)]
        if not _COMPARE[match[1]](*padded):
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    """`2.21.0rc1` → (2, 21, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    if not match:
        raise ValueError(f"version {version!r} does not begin with a number")
    return tuple(int(part) for part in match[0].split("."))
