"""What each delegate takes of every network's file, and how often the real compilers agree: docs/delegate_coverage.md.

    .venv/bin/python benchmarks/delegates.py            # two hours; 24 GiB of memory do for all networks but one
    .venv/bin/python benchmarks/delegates.py --render   # from the record of the last run

Each network under its first head, as a float32 and as an int8 file, at a small input: what a delegate takes depends
on operations and on how levels divide, not on size; weights are random. The smallest networks come first, and other
people's files last, where they lie in the folder that MOBILE_SEG_PEERS names. Judges that are not installed are
recorded as such: XNNPACK comes with LiteRT, Vela with the extra `vela`, and the GPU accelerator needs a GPU, a software
one included. An interrupted run goes on where it stopped; --anew starts over.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.cli.terminal import Progress
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import MobileSegError, UsageError
from mobile_seg.files import write_json, write_text
from mobile_seg.keras_file import installed_versions
from mobile_seg.models import counts
from mobile_seg.models.entry import Entry
from mobile_seg.models.registry import ENTRIES, build
from mobile_seg.models.stand_in import as_if_trained
from mobile_seg.profiling.delegates import judges
from mobile_seg.profiling.delegates.check import check_graph
from mobile_seg.profiling.delegates.partition import split
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.delegates.registry import DELEGATES
from mobile_seg.quantization import quantize
from mobile_seg.tflite import to_tflite

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "delegates.json"
PEERS = Path(os.environ.get("MOBILE_SEG_PEERS", ROOT.parent / "shared" / "peers"))
SIZE, CLASSES = (64, 96), 5


def main() -> int:
    """Convert and check unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anew", action="store_true", help="forget what is recorded")
    parser.add_argument("--only", nargs="+", default=(), metavar="NETWORK", help="these networks, whatever is recorded")
    parser.add_argument("--millions", type=float, default=float("inf"), help="no networks of more parameters")
    parser.add_argument("--render", action="store_true", help="render from the record")
    parser.add_argument("--files", type=Path, help="take NETWORK.float32.tflite and NETWORK.int8.tflite from a folder")
    options = parser.parse_args()
    record: dict[str, Any] = {"files": {}}
    if RECORD.is_file() and not options.anew:
        record = json.loads(RECORD.read_text(encoding="utf-8"))
    if not options.render:
        measure(record, options)
    write_text(ROOT / "docs" / "delegate_coverage.md", page(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measure(record: dict[str, Any], options: argparse.Namespace) -> None:
    """Check every file that the record has not, and write the record after each."""
    peers = () if options.only else sorted(PEERS.rglob("*.tflite"))
    sizes = {one.entry.name: one.params / 1e6 for one in counts.recorded()}
    ours = [one for one in sorted(ENTRIES, key=lambda one: sizes[one.name]) if sizes[one.name] <= options.millions]
    jobs = [(one.name, one) for one in ours if not options.only or one.name in options.only]
    jobs += [(path.stem, path) for path in peers]
    with Progress() as progress, tempfile.TemporaryDirectory() as folder:
        for number, (name, source) in enumerate(jobs):
            progress(number, len(jobs), name)
            if name in record["files"] and not options.only:
                continue
            about = {"ours": isinstance(source, Entry), "head": source.heads[0] if isinstance(source, Entry) else ""}
            try:
                paths = {"as it is": source} if isinstance(source, Path) else made(source, options.files, Path(folder))
            except UsageError as error:  # too large for a file
                about["refused"], paths = str(error), {}
            if not paths and "refused" not in about:
                continue
            record["files"][name] = about | {"precisions": {kind: checked(path) for kind, path in paths.items()}}
            write_json(RECORD, record | {"input": list(SIZE), "versions": installed_versions()})
        progress(len(jobs), len(jobs), "checked")


def made(entry: Entry, files: Path | None, folder: Path) -> dict[str, Path]:
    """Both files of a network, converted or from a folder; nothing if the folder has them not."""
    if files is not None:
        paths = {precision: files / f"{entry.name}.{precision}.tflite" for precision in ("float32", "int8")}
        return paths if all(path.is_file() for path in paths.values()) else {}
    noise = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3)).astype(np.float32)
    model = as_if_trained(build(entry.name, input_size=SIZE, classes=CLASSES), noise)
    contents = {
        "float32": convert_graph(model, precision="float32", io="float").content,
        "int8": to_tflite(quantize(model, [noise]), io="uint8"),
    }
    paths = {precision: folder / f"{entry.name}.{precision}.tflite" for precision in contents}
    for precision, content in contents.items():
        paths[precision].write_bytes(content)
    return paths


def checked(path: Path) -> dict[str, Any]:
    """What each delegate takes of a file, and what its compiler says of the same operations."""
    graph, found = read_graph(path), {}
    for name, delegate in DELEGATES.items():
        one = check_graph(graph, delegate)
        found[name] = {
            "operations": one.operations,
            "taken": one.taken,
            "partitions": one.partitions,
            "share": one.share,
            "findings": [{"operations": dict(f.operations), "reason": f.reason} for f in one.findings],
        }
        if name not in judges.JUDGES:
            continue
        try:
            said = judges.agreement(graph, split(graph, delegate), judges.ask(graph, name))
        except MobileSegError as error:
            found[name]["no_judge"] = str(error).replace(f"{path}: ", "").replace(str(path), "the file")
            continue
        found[name] |= {
            "judge": said.judge,
            "alike": said.alike,
            "differences": [list(one) for one in said.differences],
        }
    return found


def page(record: dict[str, Any]) -> str:
    """docs/delegate_coverage.md."""
    height, width = record["input"]
    rows = [
        (name, file["head"], precision, delegates)
        for name, file in record["files"].items()
        for precision, delegates in file["precisions"].items()
    ]
    ours = [row for row in rows if record["files"][row[0]]["ours"]]
    peers = [row for row in rows if not record["files"][row[0]]["ours"]]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    no_file = {name: file["refused"] for name, file in record["files"].items() if "refused" in file}
    refused = "".join(f"\n`{name}`: {why}.\n" for name, why in no_file.items())
    missing = [f"`{one.name}`" for one in ENTRIES if one.name not in record["files"]]
    if missing:
        refused += f"\nNot measured: {', '.join(missing)}; converting the largest takes more than 24 GiB of memory.\n"
    return f"""# What each delegate takes of each network

Written by `benchmarks/delegates.py`; the record is `docs/records/delegates.json`. By the rules of
[delegates.md](delegates.md), as `mobile-seg check` shows them; nothing here was run on an accelerator.

Cells: share of the multiply-adds on the delegate, and in how many parts; `–` where it takes nothing. At
{height}x{width}, weights random.

## Our networks

{_table(ours)}
{refused}
## Other people's files

{_table(peers)}

## Agreement with the real compilers

{_agreement(rows)}

{versions}.
"""


def _table(rows: list[tuple[str, str, str, dict[str, Any]]]) -> str:
    titles = [delegate.title for delegate in DELEGATES.values()]
    lines = [f"| file | head | type | {' | '.join(titles)} |", "|---" * (3 + len(titles)) + "|"]
    for name, head, precision, delegates in rows:
        cells = [_cell(delegates[one]) for one in DELEGATES]
        lines.append(f"| `{name}` | {head} | {precision} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: dict[str, Any]) -> str:
    if not found["taken"]:
        return "–"
    share = "" if found["share"] is None else f"{100 * found['share']:.3g}%, "
    return f"{share}{found['partitions']}"


def _agreement(rows: list[tuple[str, str, str, dict[str, Any]]]) -> str:
    lines = ["| delegate | judge | files | operations | agreed | without a verdict |", "|---" * 6 + "|"]
    notes = []
    for name in judges.JUDGES:
        judged = [delegates[name] for *_, delegates in rows if "judge" in delegates[name]]
        silent = [(file, delegates[name]["no_judge"]) for file, *_, delegates in rows if "no_judge" in delegates[name]]
        operations, alike = (sum(one[key] for one in judged) for key in ("operations", "alike"))
        agreed = f"{alike} ({100 * alike / operations:.2f}%)" if operations else "–"
        who = judged[0]["judge"] if judged else "–"
        lines.append(f"| {DELEGATES[name].title} | {who} | {len(judged)} | {operations} | {agreed} | {len(silent)} |")
        notes += [f"- {DELEGATES[name].title}, `{file}`: {why}" for file, why in silent]
        notes += [
            f"- {DELEGATES[name].title}, `{file}`: {kind} {layer}: only {taker} would take it"
            for file, *_, delegates in rows
            for kind, layer, taker in delegates[name].get("differences", ())
        ]
    return "\n".join([*lines, "", *(notes or ["No operation is judged otherwise."])])


if __name__ == "__main__":
    sys.exit(main())
