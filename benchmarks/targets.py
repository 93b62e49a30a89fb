"""What `export --target` makes of every mobile network: writes docs/targets.md.

    .venv/bin/python benchmarks/targets.py                    # converts every mobile network, in about an hour
    .venv/bin/python benchmarks/targets.py --only NAME,NAME   # these networks
    .venv/bin/python benchmarks/targets.py --latency          # the latencies alone anew, on a machine at rest
    .venv/bin/python benchmarks/targets.py --render           # from the record of the last runs

Each mobile network under its first head, as an int8 file (float32 too for XNNPACK and the GPU), rewritten for each
target: operations mapped and partitions before and after, whether every output is the same bit for bit, the size,
and for XNNPACK the latency on this host at one thread, both files taking turns. Weights are random. The compilers
behind XNNPACK and Ethos-U (Vela, extra `vela`) are asked too. An interrupted run goes on where it stopped.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mobile_seg.cli.terminal import Progress
from mobile_seg.converters.options import DELEGATES
from mobile_seg.converters.targets.rewrites import REWRITES
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import MobileSegError
from mobile_seg.files import write_bytes, write_json, write_text
from mobile_seg.keras_file import installed_versions
from mobile_seg.models.entry import Entry
from mobile_seg.models.registry import ENTRIES, build
from mobile_seg.models.stand_in import as_if_trained
from mobile_seg.profiling.delegates import judges
from mobile_seg.profiling.delegates.partition import split
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.delegates.registry import DELEGATES as KNOWN
from mobile_seg.profiling.delegates.registry import find
from mobile_seg.profiling.host import cpu_name
from mobile_seg.quantization import quantize
from mobile_seg.targeting import fit
from mobile_seg.tflite import to_tflite
from mobile_seg.verify.tflite_runner import load_interpreter

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "targets.json"
SIZE, CLASSES, IMAGES = (128, 256), 5, 4
"""At 128x256 every level of every network is a whole multiple of the next."""

FLOAT_TARGETS = ("xnnpack", "gpu")
WARM_UP, RUNS = 5, 50
MOBILE = [entry for entry in ENTRIES if entry.mobile]
ORDER = [entry.name for entry in MOBILE]


def main() -> int:
    """Convert and rewrite unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=lambda text: text.split(","), help="networks, separated by commas")
    parser.add_argument("--anew", action="store_true", help="forget what is recorded of these networks")
    parser.add_argument("--render", action="store_true", help="render from the record")
    parser.add_argument("--latency", action="store_true", help="measure the latencies of what is recorded anew")
    parser.add_argument("--files", type=Path, help="keep the converted files in this folder, and take them from there")
    options = parser.parse_args()
    record: dict[str, Any] = {"networks": {}}
    if RECORD.is_file():
        record = json.loads(RECORD.read_text(encoding="utf-8"))
    if not options.render:
        chosen = [entry for entry in MOBILE if not options.only or entry.name in options.only]
        with Progress() as progress:
            for number, entry in enumerate(chosen):
                progress(number, len(chosen), entry.name)
                known = record["networks"].get(entry.name)
                if options.latency and known:
                    for precision, content in made(entry, options.files).items():
                        known[precision]["xnnpack"] |= timed(content)
                elif options.anew or not known:
                    record["networks"][entry.name] = measure(entry, options.files)
                if options.latency or options.anew or not known:
                    about = {"input": list(SIZE), "host": cpu_name(), "runs": RUNS, "versions": installed_versions()}
                    write_json(RECORD, record | about)
                    keras.backend.clear_session()
            progress(len(chosen), len(chosen), "rewritten")
    write_text(ROOT / "docs" / "targets.md", page(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measure(entry: Entry, kept: Path | None) -> dict[str, Any]:
    """Both files of a network, for each target that takes them."""
    found: dict[str, Any] = {"head": entry.heads[0]}
    with tempfile.TemporaryDirectory() as folder:
        for precision, content in made(entry, kept).items():
            targets = DELEGATES if precision == "int8" else FLOAT_TARGETS
            found[precision] = {target: fitted(content, target, Path(folder)) for target in targets}
    return found


def made(entry: Entry, kept: Path | None) -> dict[str, bytes]:
    """The network as int8 and as float32, from a folder where it has them."""
    paths = {precision: kept / f"{entry.name}.{precision}.tflite" for precision in ("int8", "float32")} if kept else {}
    if paths and all(path.is_file() for path in paths.values()):
        return {precision: path.read_bytes() for precision, path in paths.items()}
    noise = np.random.default_rng(0).integers(0, 256, (IMAGES, *SIZE, 3)).astype(np.float32)
    model = as_if_trained(build(entry.name, input_size=SIZE, classes=CLASSES), noise)
    contents = {
        "int8": to_tflite(quantize(model, [noise]), io="uint8"),
        "float32": convert_graph(model, precision="float32", io="float").content,
    }
    for precision, path in paths.items():
        write_bytes(path, contents[precision])
    return contents


def fitted(content: bytes, target: str, folder: Path) -> dict[str, Any]:
    """A file rewritten for a target, beside the file as it was."""
    after, found = fit(content, target=target, name="the file")
    row: dict[str, Any] = {
        "operations": found.check.operations,
        "taken": found.check.taken,
        "partitions": [found.before, found.check.partitions],
        "mended": {one.name: len(one.layers) for one in found.mended},
        "refused": [{"operations": dict(one.operations), "reason": one.reason} for one in found.refused],
        "size_bytes": [len(content), len(after)],
        "same": same(content, after),
    }
    if target in judges.JUDGES:
        row |= judged(write_bytes(folder / "fitted.tflite", after), target)
    return row | (timed(content) if target == "xnnpack" else {})


def timed(content: bytes) -> dict[str, Any]:
    """Median latency before and after rewriting for XNNPACK, and the median ratio of runs taken one after the other."""
    after, _ = fit(content, target="xnnpack", name="the file")
    times = in_turn(content, after)
    ratios = [new / old for old, new in zip(*times, strict=True)]
    return {"ms": [statistics.median(one) for one in times], "ratio": statistics.median(ratios)}


def judged(path: Path, target: str) -> dict[str, Any]:
    """What the target's own compiler says of the file after, where it runs here."""
    graph = read_graph(path)
    try:
        said = judges.agreement(graph, split(graph, find(target)), judges.ask(graph, target))
    except MobileSegError as error:
        return {"no_judge": str(error).replace(str(path), "the file")}
    return {"judge": said.judge, "alike": said.alike, "judge_partitions": said.partitions and said.partitions[1]}


def images(content: bytes) -> list[np.ndarray]:
    """Two random images of the input's type."""
    details, rng = load_interpreter(content, name="the file").get_input_details()[0], np.random.default_rng(1)
    return [rng.integers(0, 256, details["shape"]).astype(details["dtype"]) for _ in range(2)]


def run(interpreter: Any, image: np.ndarray) -> np.ndarray:
    """One inference."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    output: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output


def same(before: bytes, after: bytes) -> bool:
    """Whether both files give the same bits."""
    one, other = (load_interpreter(content, name="the file") for content in (before, after))
    return all(np.array_equal(run(one, image), run(other, image)) for image in images(before))


def in_turn(*contents: bytes) -> list[list[float]]:
    """Milliseconds of files that take turns, at one thread, run by run."""
    (image, _) = images(contents[0])
    times: list[list[float]] = [[] for _ in contents]
    interpreters = [load_interpreter(content, name="the file", threads=1) for content in contents]
    for number in range(WARM_UP + RUNS):
        for interpreter, taken in zip(interpreters, times, strict=True):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
            started = time.perf_counter()
            interpreter.invoke()
            if number >= WARM_UP:
                taken.append(1000 * (time.perf_counter() - started))
    return times


def page(record: dict[str, Any]) -> str:
    """docs/targets.md."""
    height, width = record["input"]
    rows = sorted(record["networks"].items(), key=lambda item: ORDER.index(item[0]))
    total = [one for _, found in rows for kind in ("int8", "float32") for one in found[kind].values()]
    equal = sum(one["same"] for one in total)
    return f"""# Files for a target

Written by `benchmarks/targets.py`; the record is `docs/records/targets.json`.

`mobile-seg export --target NAME` checks the converted file by the rules of [delegates.md](delegates.md), writes
what the target refuses otherwise where that changes no number, and checks again. What stays refused is said, with
its reason and the fix. A target that takes nothing at all is an error.

## The rewrites

{_rewrites()}

## The mobile networks

At {height}x{width}, weights random. Cells: operations that the target takes, then partitions before → after.
Of {len(total)} pairs of files, {equal} give the same output bit for bit on two random images.

{_networks(rows)}

What stays outside:

{_left(rows)}

{_judges(rows)}

## What it costs on this host

Median inference with XNNPACK at one thread, both files taking turns, {record["runs"]} runs, on
{record["host"]}; the ratio is the median of those of runs taken one after the other. Accuracy costs nothing: the
outputs are the same. At so small an input the way in and out of a partition weighs more than at full size.

{_latency(rows)}

{", ".join(f"{name} {version}" for name, version in record["versions"].items())}.
"""


def _rewrites() -> str:
    lines = ["| rewrite | for | what becomes of it | where |", "|---" * 4 + "|"]
    for one in REWRITES:
        titles = ", ".join(KNOWN[target].title for target in one.targets)
        lines.append(f"| {one.name} | {titles} | {one.sentence} | {one.condition} |")
    return "\n".join(lines)


def _networks(rows: list[tuple[str, dict[str, Any]]]) -> str:
    titles = " | ".join(KNOWN[target].title for target in DELEGATES)
    lines = [f"| network | type | {titles} |", "|---" * (2 + len(DELEGATES)) + "|"]
    for name, found in rows:
        for precision in ("int8", "float32"):
            cells = [_cell(found[precision].get(target)) for target in DELEGATES]
            lines.append(f"| `{name}` | {precision} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(one: dict[str, Any] | None) -> str:
    if one is None:
        return ""
    taken = "all" if one["taken"] == one["operations"] else f"{one['taken']} of {one['operations']}"
    before, after = one["partitions"]
    return f"{taken}, {before} → {after}"


def _left(rows: list[tuple[str, dict[str, Any]]]) -> str:
    """Each refusal once, with the files it stands in."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, networks in rows:
        for precision in ("int8", "float32"):
            for target, one in networks[precision].items():
                for left in one["refused"]:
                    kinds = ", ".join(left["operations"])
                    found.setdefault((KNOWN[target].title, kinds, left["reason"]), []).append(f"`{name}` {precision}")
    lines = ["| target | operation | reason | files |", "|---" * 4 + "|"]
    for (title, kinds, reason), files in sorted(found.items()):
        shown = f"all {len(files)} int8 files" if len(files) == len(rows) else ", ".join(files)
        lines.append(f"| {title} | {kinds} | {reason} | {shown} |")
    return "\n".join(lines) if found else "Nothing."


def _judges(rows: list[tuple[str, dict[str, Any]]]) -> str:
    lines = []
    for target in DELEGATES:
        files = [found[kind][target] for _, found in rows for kind in ("int8", "float32") if target in found[kind]]
        asked = [one for one in files if "judge" in one]
        if asked:
            alike, operations = (sum(one[key] for one in asked) for key in ("alike", "operations"))
            lines.append(f"{asked[0]['judge']} agrees on {alike} of {operations} operations in {len(asked)} files.")
        lines += sorted({f"{KNOWN[target].title}: {one['no_judge']}." for one in files if "no_judge" in one})
    return "\n".join(lines)


def _latency(rows: list[tuple[str, dict[str, Any]]]) -> str:
    lines = ["| network | type | before, ms | after, ms | after / before | size, bytes more |", "|---" * 6 + "|"]
    for name, found in rows:
        for precision in ("int8", "float32"):
            one = found[precision]["xnnpack"]
            if not one["mended"]:
                continue
            (before, after), (small, large) = one["ms"], one["size_bytes"]
            ratio = f"{one['ratio']:.2f}"
            cells = (f"`{name}`", precision, f"{before:.2f}", f"{after:.2f}", ratio, large - small)
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
