"""Latency of the mobile networks beside real models of others, in one run on this host.

    .venv/bin/python benchmarks/zoo_latency.py --convert                 # every network to its two files
    .venv/bin/python benchmarks/zoo_latency.py --peers ../shared/peers   # measures them, then rewrites docs/results.md
    .venv/bin/python benchmarks/zoo_latency.py --render                  # from the record of the last run

Every network of the zoo that is small enough for a phone, at 512x512 with 21 classes, as a float32 and as an int8
file; its weights are random, which costs the same time as trained ones. The peers are the files found in the
folder given. All take turns, one inference each, at one thread and then at two. Multiply-adds per second stand
beside those of the best single convolution of the same run and type: what this host can do at all. Converting takes
half an hour and measuring some minutes, which want a machine that does nothing else; the files wait in between, in a
folder that is emptied by hand when the converter has changed.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from marked import rewrite

from mobile_seg.cli.terminal import Progress
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.files import write_bytes, write_json
from mobile_seg.keras_file import installed_versions
from mobile_seg.models.entry import SEMANTIC_HEADS, Entry
from mobile_seg.models.registry import ENTRIES, build
from mobile_seg.models.stand_in import as_if_trained
from mobile_seg.profiling.host import cpu_name
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.quantization import quantize
from mobile_seg.tflite import to_tflite
from mobile_seg.verify.tflite_runner import load_interpreter

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "zoo_latency.json"
SIZE, CLASSES, THREADS = (512, 512), 21, (1, 2)
PEERS = (
    "coral/deeplabv3_mnv2_pascal_quant.tflite",
    "coral/deeplabv3_mnv2_dm05_pascal_quant.tflite",
    "deeplabv3_257_mv_gpu.tflite",
)
CONVOLUTIONS = ((1, 64, 256), (1, 32, 512), (1, 128, 128), (3, 64, 128), (3, 32, 256))
"""(kernel, height and width, channels in and out): large enough to keep a core busy, small enough for its cache."""

Report = Callable[[int, int, str], None]


def main() -> int:
    """Measure unless only rendering is asked for, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, help="the folder with the models of others")
    parser.add_argument("--files", type=Path, default=ROOT / "runs" / "zoo_latency", help="where the files are kept")
    parser.add_argument("--convert", action="store_true", help="only convert what is not there yet")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--render", action="store_true", help="render from the record")
    options = parser.parse_args()
    if not options.render:
        with Progress() as progress:
            rows = zoo(options.files, progress)
            if options.convert:
                return 0
            write_json(RECORD, measure([*rows, *peers(options.peers)], options, progress))
    rewrite(ROOT / "docs" / "results.md", "zoo", section(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measure(files: list[tuple[dict[str, str], bytes]], options: argparse.Namespace, report: Report) -> dict[str, Any]:
    """A row per file, and the fastest convolution of each type."""
    rows, contents = [], []
    for row, content in files:
        facts = inspect_tflite(content)
        sizes = {"macs": facts.macs, "size_bytes": facts.size_bytes, "partitions": facts.partitions}
        rows.append({**row, **sizes, "float_operations": facts.float_ops, "ms": {}})
        contents.append(content)
    singles = list(convolutions())
    peaks: dict[str, dict[str, float]] = {}
    for threads in THREADS:
        files = [*contents, *(content for _, content in singles)]
        times = in_turn(files, threads, options, lambda done, total, n=threads: report(done, total, f"{n} threads"))
        for row, milliseconds in zip(rows, times, strict=False):
            row["ms"][str(threads)] = milliseconds
        for (kind, content), milliseconds in zip(singles, times[len(rows) :], strict=True):
            speed = inspect_tflite(content).macs / milliseconds / 1e6
            peak = peaks.setdefault(kind, {})
            peak[str(threads)] = max(speed, peak.get(str(threads), 0.0))
    return {
        "input": list(SIZE),
        "classes": CLASSES,
        "runs": options.runs,
        "warm_up": options.warm_up,
        "host": cpu_name(),
        "versions": installed_versions(),
        "peak_gmacs": peaks,
        "rows": rows,
    }


def zoo(folder: Path, report: Report) -> list[tuple[dict[str, str], bytes]]:
    """Each mobile network with the first head that gives a label map, as float32 and as int8, from or into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mobile = [entry for entry in ENTRIES if entry.mobile]
    found = []
    for number, entry in enumerate(mobile):
        report(number, len(mobile), f"exporting {entry.name}")
        paths = {kind: folder / f"{entry.name}_{kind}.tflite" for kind in ("float32", "int8")}
        if not all(path.is_file() for path in paths.values()):
            for path, content in zip(paths.values(), converted(entry), strict=True):
                write_bytes(path, content)
        for kind, path in paths.items():
            found.append(({"name": entry.name, "type": kind, "input": "512x512"}, path.read_bytes()))
    report(len(mobile), len(mobile), "exported")
    return found


def converted(entry: Entry) -> tuple[bytes, bytes]:
    """A network's float32 and its int8 file."""
    noise = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3)).astype(np.float32)
    head = next(head for head in entry.heads if head in SEMANTIC_HEADS)
    model = as_if_trained(build(entry.name, input_size=SIZE, classes=CLASSES, head=head), noise)
    return _float(model), _int8(model, noise)


def peers(folder: Path | None) -> Iterator[tuple[dict[str, str], bytes]]:
    """The models of others that are there."""
    for name in PEERS if folder else ():
        content = (folder / name).read_bytes()
        facts = inspect_tflite(content)
        kind = "float32" if facts.float_ops else "int8"
        _, height, width, _ = facts.inputs[0].shape
        yield {"name": Path(name).stem, "type": kind, "input": f"{height}x{width}"}, content


def convolutions() -> Iterator[tuple[str, bytes]]:
    """Single convolutions, of which the fastest shows what the host can do."""
    for kernel, side, channels in CONVOLUTIONS:
        x = keras.Input((side, side, channels), name="x")
        y = keras.layers.Conv2D(channels, kernel, padding="same", activation="relu", name="conv")(x)
        model = keras.Model(x, y, name="single")
        yield "float32", _float(model)
        yield "int8", _int8(model, np.random.default_rng(0).normal(size=(1, *x.shape[1:])).astype(np.float32))


def _float(model: keras.Model) -> bytes:
    return convert_graph(model, precision="float32", io="float").content


def _int8(model: keras.Model, shown: np.ndarray) -> bytes:
    return to_tflite(quantize(model, [shown]))


def in_turn(
    files: list[bytes], threads: int, options: argparse.Namespace, report: Callable[[int, int], None]
) -> list[float]:
    """Median milliseconds of each file, all taking turns."""
    interpreters = [load_interpreter(content, name="file", threads=threads) for content in files]
    for interpreter in interpreters:
        for given in interpreter.get_input_details():
            interpreter.set_tensor(given["index"], np.zeros(given["shape"], given["dtype"]))
    samples: list[list[float]] = [[] for _ in files]
    rounds = options.warm_up + options.runs
    for number in range(rounds):
        for interpreter, taken in zip(interpreters, samples, strict=True):
            started = time.perf_counter()
            interpreter.invoke()
            if number >= options.warm_up:
                taken.append(1e3 * (time.perf_counter() - started))
        report(number + 1, rounds)
    return [statistics.median(taken) for taken in samples]


def section(record: dict[str, Any]) -> str:
    """The part of docs/results.md between the two marks."""
    head = ("network", "input", "type", "G multiply-adds", "MB", "partitions")
    columns = [f"ms, {n} thread{'s'[: n > 1]}" for n in THREADS] + [f"of the best, {n}" for n in THREADS]
    lines = [(*head, *columns), ("---",) * (len(head) + len(columns))]
    for row in record["rows"]:
        times = [row["ms"][str(n)] for n in THREADS]
        best = [record["peak_gmacs"][row["type"]][str(n)] for n in THREADS]
        shares = [
            f"{row['macs'] / milliseconds / 1e6 / peak:.0%}" for milliseconds, peak in zip(times, best, strict=True)
        ]
        cells = (f"{row['macs'] / 1e9:.2f}", f"{row['size_bytes'] / 1e6:.2f}", str(row["partitions"]))
        lines.append((row["name"], row["input"], row["type"], *cells, *(f"{ms:.1f}" for ms in times), *shares))
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    peaks = "; ".join(
        f"{kind} {', '.join(f'{speed:.0f} ({n} thread' + 's' * (n != '1') + ')' for n, speed in found.items())}"
        for kind, found in record["peak_gmacs"].items()
    )
    return f"""## The mobile networks beside models of others

```sh
python benchmarks/zoo_latency.py --peers FOLDER
```

{record["input"][0]}x{record["input"][1]}, {record["classes"]} classes, random weights; the peers (Coral's DeepLabv3 on
MobileNetV2 1.0 and 0.5, int8, and TensorFlow's float `deeplabv3_257_mv_gpu`) as their files are. Median of
{record["runs"]} runs after {record["warm_up"]}, all files taking turns in one process on {record["host"]}; LiteRT with
XNNPACK. "Of the best": multiply-adds per second as a share of the best single convolution of the same type in this
run, which reached, in G per second: {peaks}. Host latency is not phone latency.

{table}

{", ".join(f"{name} {version}" for name, version in record["versions"].items())}."""


if __name__ == "__main__":
    sys.exit(main())
