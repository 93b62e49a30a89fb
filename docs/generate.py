"""Writes the generated pages of docs/ from the functions whose docstrings are the rules.

.venv/bin/python docs/generate.py  # rewrite the pages
.venv/bin/python docs/generate.py --check   # exit 1 if one is not what the code says
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.kernels import KERNELS, PRESCRIBED_SCALES, Kind
from mobile_seg.files import write_text
from mobile_seg.quantization import limits, lower, rules
from mobile_seg.quantization.scheme import SCHEMES

DOCS = Path(__file__).resolve().parent


def quantization_rules() -> str:
    """docs/quantization_rules.md."""
    return f"""# What is quantized, where, and why

Made by `docs/generate.py` from the code: each sentence is the docstring of the function that does it.

## Schemes

{_table(("scheme", "weights", "activations", "for"), _scheme_rows())}

A layer can be raised: `keep={{"name": "int16x8"}}` gives its output 16 bits, `"float"` leaves its weights and
arithmetic in float.

## 1. Lowering

Any functional model is first said in the few kinds of layers that integer kernels know (`quantization/lower.py`).
A layer that is not in this table stays as it is.

{_table(("layer", "how"), _lowering_rows())}

## 2. Where a range is needed

The first rule that answers for a layer decides (`quantization/rules.py`).

{_table(("rule", "sentence"), ((_words(rule), rule.__doc__) for rule in rules.RULES))}

## 3. What is refused

By name, with the way out (`quantization/limits.py`).

{_table(("limit", "sentence"), ((_words(limit), limit.__doc__) for limit in limits.LIMITS))}

## 4. What the kernels do

The table that integer files are written by (`converters/kernels.py`). An operation that is not here runs in float.

{_table(("kind", "means", "operations"), _kind_rows())}

Prescribed output scales: {_prescribed()}.
"""


PAGES: dict[str, Callable[[], str]] = {"quantization_rules.md": quantization_rules}


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    check = parser.parse_args().check
    stale = []
    for name, made in PAGES.items():
        path, text = DOCS / name, made()
        if check and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        if not check:
            write_text(path, text)
    if stale:
        print(f"out of date: {', '.join(stale)}; run docs/generate.py")
    return bool(stale)


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _words(function: Callable[..., object]) -> str:
    return function.__name__.strip("_").replace("_", " ")


def _scheme_rows() -> Iterable[tuple[object, ...]]:
    for scheme in SCHEMES.values():
        activations = "float" if scheme.activation_bits is None else f"int{scheme.activation_bits}"
        yield f"`{scheme.name}`", scheme.weights, activations, scheme.about


def _lowering_rows() -> Iterable[tuple[object, ...]]:
    for kind, lowerings in lower.LOWERINGS.items():
        yield f"`{kind.__name__}`", " ".join(str(lowering.__doc__) for lowering in lowerings)
    for name, lowering in lower.ACTIVATIONS.items():
        yield f"`Activation('{name}')`", lowering.__doc__


def _kind_rows() -> Iterable[tuple[object, ...]]:
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    for kind in Kind:
        yield kind.name, kind.value, ", ".join(names[code] for code, kernel in KERNELS.items() if kernel.kind is kind)


def _prescribed() -> str:
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    return ", ".join(
        f"{names[code]} in {bits} bits 1/{round(1 / scale)} from {zero_point}"
        for (code, bits), (scale, zero_point) in PRESCRIBED_SCALES.items()
    )


if __name__ == "__main__":
    sys.exit(main())
