"""Writes the generated pages of docs/ from the functions whose docstrings are the rules.

.venv/bin/python docs/generate.py  # rewrite the pages
.venv/bin/python docs/generate.py --check   # exit 1 if one is not what the code says
.venv/bin/python docs/generate.py --count   # first count and draw the networks anew, in minutes
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from mobile_seg.cli.terminal import Progress
from mobile_seg.converters.kernels import KERNELS, PRESCRIBED_SCALES, Kind
from mobile_seg.files import write_json, write_text
from mobile_seg.models import counts
from mobile_seg.models.registry import find
from mobile_seg.profiling.delegates.nnapi import FIRST, LEVELS
from mobile_seg.profiling.delegates.registry import DELEGATES
from mobile_seg.profiling.delegates.rules import Delegate, Rule, explain, name_of
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


def networks() -> str:
    """docs/networks.md."""
    return f"""# The networks

Made by `docs/generate.py` from the record that `docs/generate.py --count` writes, next to what the papers state.
`mobile-seg models NAME` draws any of these, at any size and with any of its heads.

Parameters are weights, biases, and scale and shift of batch normalization; multiply-adds are those of convolutions
and dense layers on one image. An option with + or - is switched on or off against the network's default.

{"".join(_paper(*item) for item in counts.PAPERS.items())}
## What they look like

Rows are strides, finest on top; blocks stand in the order of computing.

{"".join(f"![{name}](images/networks/{name}.svg)" + chr(10) * 2 for name in GALLERY).rstrip()}
"""


GALLERY = (
    "mobile_spinenet_s49_minus",
    "spinenet_49",
    "eff_spinenet_d0",
    "swidernet_1_1_1",
    "auto_deeplab_s",
    "mobilenet_v3_large",
)
"""The networks of docs/images/networks."""


def picture(name: str) -> str:
    """The SVG of a network in its paper's setting."""
    from mobile_seg.models.structure import structure
    from mobile_seg.report.network_picture import draw, facts, svg

    entry = find(name)
    shown = counts.setting(entry)
    network = structure(counts.build_setting(entry, shown))
    setting = f"{shown.head} head", f"{shown.classes} classes", counts.in_short(shown.options)
    return svg(draw(network, title=name, facts=facts(network, *setting)))


def delegates() -> str:
    """docs/delegates.md."""
    kinds = sorted({kind for one in DELEGATES.values() for kind in one.operations})
    matrix = _table(("operation", *(one.title for one in DELEGATES.values())), (_support(kind) for kind in kinds))
    return f"""# What each delegate takes

Made by `docs/generate.py` from the code: each rule is the docstring of the function that tests it, and the sentence
that `mobile-seg check MODEL.tflite` shows. `yes` is without conditions of its own, a number counts the rules below
that must hold, `–` is never taken. The rules of a delegate's general section hold for every operation.

Rules are read from the delegates' own code and pages, named with each; where a real compiler runs on a plain
machine, `mobile-seg check --judge` asks it, and a test holds the rules against it
([agreement](delegate_coverage.md)).

{matrix}

{"".join(map(_delegate, DELEGATES.values()))}## NNAPI by feature level

{_table(("operation", *(f"API {level}" for level in LEVELS)), _levels())}
"""


PAGES: dict[str, Callable[[], str]] = {
    "quantization_rules.md": quantization_rules,
    "networks.md": networks,
    "delegates.md": delegates,
}


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    parser.add_argument("--count", action="store_true", help="count and draw the networks anew")
    args = parser.parse_args()
    if args.count:
        count()
    check, stale = args.check, []
    for name, made in PAGES.items():
        path, text = DOCS / name, made()
        if check and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        if not check:
            write_text(path, text)
    if stale:
        print(f"out of date: {', '.join(stale)}; run docs/generate.py")
    return bool(stale)


def count() -> None:
    """Write the record of the networks' counts, and their pictures."""
    rows = list(counts.rows())
    record = []
    with Progress() as progress:
        for done, (entry, published) in enumerate(rows, 1):
            record.append(counts.measure(entry, published))
            progress(done, len(rows), "counting networks")
    write_json(counts.RECORD, record)
    for name in GALLERY:
        write_text(DOCS / "images" / "networks" / f"{name}.svg", picture(name))


def _paper(paper: str, title: str) -> str:
    rows = [counted for counted in counts.recorded() if counted.entry.paper == paper]
    link = f"[{paper}](https://arxiv.org/abs/{paper[6:]})" if paper.startswith("arXiv:") else paper
    head = (
        "network",
        "head",
        "input",
        "classes",
        "parameters",
        "paper",
        "off",
        "multiply-adds",
        "paper",
        "off",
        "source",
    )
    reasons = dict.fromkeys(row.published.reason for row in rows if row.published.reason)
    numbers = {reason: number for number, reason in enumerate(reasons, 1)}
    notes = "".join(f"{number}. {reason}\n" for reason, number in numbers.items())
    table = _table(head, (_network(row, numbers.get(row.published.reason)) for row in rows))
    return f"## {title} ({link})\n\n{table}\n\n{notes}{chr(10) if notes else ''}"


def _network(row: counts.Counted, note: int | None) -> Iterable[object]:
    published = row.published
    height, width = published.input_size
    yield f"`{row.entry.name}` {counts.in_short(published.options)}".rstrip()
    yield from (published.head, f"{height}x{width}", published.classes)
    yield from _beside(row.params, published.params, 1e6, "M")
    yield from _beside(row.macs, published.macs, 1e9, "G")
    yield f"{published.source or '–'}{f' ({note})' if note else ''}"


def _beside(ours: int, paper: float | None, scale: float, unit: str) -> tuple[str, str, str]:
    own = f"{ours / scale:.2f} {unit}"
    return (own, "", "") if paper is None else (own, f"{paper / scale:g} {unit}", f"{ours / paper - 1:+.1%}")


def _support(kind: str) -> Iterable[str]:
    yield f"`{kind}`"
    for one in DELEGATES.values():
        asked = one.operations.get(kind)
        yield "–" if asked is None else str(len(asked)) if asked else "yes"


def _delegate(one: Delegate) -> str:
    held: dict[tuple[str, str, str, str], list[str]] = {}
    for kind, asked in one.operations.items():
        for rule in asked:
            held.setdefault(_row(rule), []).append(kind)
    general = ((*_row(rule)[:2], "all", *_row(rule)[2:]) for rule in one.general)
    rows = [*general, *((*row[:2], ", ".join(sorted(kinds)), *row[2:]) for row, kinds in held.items())]
    instead = "".join(f"- `{kind}`: {fix}\n" for kind, fix in one.instead.items())
    notes = "".join(f"- {note}\n" for note in one.notes)
    return f"""## {one.title} (`{one.name}`)

{one.about[0].upper()}{one.about[1:]}. Source: {one.source}.{f" Judge: {one.judge}." if one.judge else ""}

{notes}
{_table(("rule", "sentence", "operations", "source", "fix"), rows)}

Instead of what it has not:

{instead}
"""


def _row(rule: Rule) -> tuple[str, str, str, str]:
    words = explain(rule)
    return name_of(rule), words.sentence, words.source, words.fix


def _levels() -> Iterable[Iterable[str]]:
    for kind, (first, _) in sorted(FIRST.items()):
        yield f"`{kind}`", *("yes" if level >= first else "–" for level in LEVELS)


def _table(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
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
