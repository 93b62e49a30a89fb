"""One trained network through the usual ways to a .tflite file and through ours, side by side.

    .venv/bin/python benchmarks/export_paths.py runs/camvid_s49_minus --convert   # the files alone, on a busy machine
    .venv/bin/python benchmarks/export_paths.py runs/camvid_s49_minus   # measures them; converts what is missing
    .venv/bin/python benchmarks/export_paths.py --render   # docs/export_paths.md from the record of the last run

The folder is a run's: its float model goes through the usual ways, its quantized one through ours
(`export_ways.py`). The files are kept in its folder `export_paths`; delete it to convert anew. All files take turns,
one run each, first the model alone, then from an RGB frame to a class map of the frame's size, as an app does: around
the usual files it casts, dequantizes and takes the largest class itself, around ours the file does. "Coarse" takes the
class at the logits' own size, "smooth" after enlarging the logits to the input's size, "full" to the frame's; ours has
a file for each of the first two. With --tfmot (extra `tfmot`), TF-MOT's quantization-aware training for a few steps
too: its graph is what counts here, not its weights. Measuring wants a machine that does nothing else.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from export_ways import LABELS, LOGITS, TYPES, UNMOVED, converted, loaded

from mobile_seg.cli.terminal import Progress
from mobile_seg.data.description import spread
from mobile_seg.data.readers import read_pair
from mobile_seg.files import write_json, write_text
from mobile_seg.keras_file import installed_versions
from mobile_seg.profiling.host import cpu_name
from mobile_seg.profiling.operations.profile import profile_operations
from mobile_seg.profiling.operations.records import UNTRACED
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.verify.tflite_runner import load_interpreter

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "export_paths.json"
THREADS, FRAMES = (1, 2), 8
FORMS = ("coarse", "smooth", "full")
PROFILED = ("SavedModel", "SavedModel, PTQ", UNMOVED, *(LOGITS.format(kind) for kind in TYPES))
"""Files whose operations are timed one by one, on one thread."""
BETWEEN = "between operations"
SHOWN_MS = 0.05
"""Kinds of operations that take less everywhere are added up."""


def main() -> int:
    """Convert and measure unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, help="the folder of a run")
    parser.add_argument("--data", default=str(ROOT / "benchmarks" / "camvid.yaml"))
    parser.add_argument("--frame", type=int, nargs=2, default=(720, 1280), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--tfmot", action="store_true", help="TF-MOT too; needs the extra tfmot")
    parser.add_argument("--convert", action="store_true", help="convert only")
    parser.add_argument("--render", action="store_true", help="render from the record")
    options = parser.parse_args()
    if options.run is None and not options.render:
        parser.error("RUN is missing: the folder that `mobile-seg run` or `train` and `quantize` wrote")
    if not options.render:
        with Progress() as progress:
            contents = dict(converted(options, progress))
            if options.convert:
                return 0
            write_json(RECORD, measure(contents, options, progress))
    write_text(ROOT / "docs" / "export_paths.md", page(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measure(
    contents: dict[str, bytes], options: argparse.Namespace, progress: Callable[[int, int, str], None]
) -> dict[str, Any]:
    """A row per file."""
    dataset, network = loaded(options)
    size = tuple(network.input_shape[1:3])
    found = [read_pair(pair, dataset)[0] for pair in spread(dataset.val, FRAMES)]
    frames = [cv2.resize(frame, tuple(options.frame)[::-1]) for frame in found]
    rows: dict[str, dict[str, Any]] = {}
    reference = [network(cv2.resize(frame, size[::-1])[None].astype(np.float32))[0].numpy() for frame in frames]
    for name, content in contents.items():
        facts = inspect_tflite(content)
        rows[name] = {
            "type": "float32" if facts.inputs[0].dtype == "float32" else "int8",
            "operations": sum(count for _, count in facts.ops),
            "partitions": facts.partitions,
            "size_bytes": facts.size_bytes,
            "agreement": float(np.mean([agrees(File(content), *pair) for pair in zip(frames, reference, strict=True)])),
            "ms": {},
            "frame_ms": {},
        }
    for threads in THREADS:
        files = {name: File(content, threads) for name, content in contents.items()}
        for number in range(options.warm_up + options.runs):
            progress(number, options.warm_up + options.runs, f"{threads} threads")
            frame, kept = frames[number % FRAMES], number >= options.warm_up
            for name, file in files.items():
                tensor = file.tensor(frame)
                timed(rows[name]["ms"].setdefault(str(threads), []), lambda f=file, t=tensor: f.infer(t), kept)
                for form in file.forms:
                    into = rows[name]["frame_ms"].setdefault(form, {}).setdefault(str(threads), [])
                    timed(into, lambda f=file, image=frame, how=form: f.class_map(image, how), kept)
    for name in PROFILED:
        rows[name]["kinds"] = kinds(contents[name], options.runs)
    for row in rows.values():
        row["ms"] = {threads: statistics.median(taken) for threads, taken in row["ms"].items()}
        row["frame_ms"] = {
            form: {threads: statistics.median(taken) for threads, taken in found.items()}
            for form, found in row["frame_ms"].items()
        }
    return {
        "model": network.name,
        "input": list(size),
        "frame": list(frames[0].shape[:2]),
        "data": dataset.name,
        "smooth_is_full": float(np.mean([same_map(logits, size, options.frame) for logits in reference])),
        "runs": options.runs,
        "host": cpu_name(),
        "versions": installed_versions(),
        "rows": rows,
    }


def kinds(content: bytes, runs: int) -> dict[str, float]:
    """Milliseconds of a file by kind of operation, and what lies between them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.tflite"
        path.write_bytes(content)
        found = profile_operations(path, runs=runs)
    spent = Counter[str]()
    for one in found.operations:
        spent["untraced kernels" if one.part == UNTRACED else one.operation] += one.milliseconds
    assert found.unprofiled_ms is not None
    return {**spent, BETWEEN: max(found.unprofiled_ms - found.sum_ms, 0.0)}


def timed(into: list[float], call: Callable[[], object], kept: bool) -> None:
    """Append a call's milliseconds, unless it is warming up."""
    started = time.perf_counter()
    call()
    if kept:
        into.append(1e3 * (time.perf_counter() - started))


@dataclass
class File:
    """A file and what an app has to do around it, read off its tensors."""

    content: bytes
    threads: int = 1

    def __post_init__(self) -> None:
        self.interpreter = load_interpreter(self.content, name="file", threads=self.threads)
        (self.given,), (self.made,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.size = (int(self.given["shape"][2]), int(self.given["shape"][1]))

    @property
    def labels(self) -> bool:
        """Whether it gives class ids."""
        return len(self.made["shape"]) == 3

    @property
    def forms(self) -> tuple[str, ...]:
        """How an app can make a class map of its output; of class ids in one way, which goes by their form."""
        if not self.labels:
            return FORMS
        return ("coarse",) if self.made["dtype"] is np.uint8 else ("smooth",)

    def tensor(self, frame: np.ndarray) -> np.ndarray:
        """The input, of bytes as they are or cast to floats, which these networks normalize themselves."""
        return cv2.resize(frame, self.size)[None].astype(self.given["dtype"], copy=False)

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """The raw output."""
        self.interpreter.set_tensor(self.given["index"], tensor)
        self.interpreter.invoke()
        return np.asarray(self.interpreter.get_tensor(self.made["index"])[0])

    def class_map(self, frame: np.ndarray, form: str) -> np.ndarray:
        """From a frame to the class of each of its pixels."""
        found = self.infer(self.tensor(frame))
        if not self.labels:
            scale, zero = self.made["quantization"]
            if found.dtype != np.float32:
                found = (found.astype(np.float32) - zero) * np.float32(scale)
            if form != "coarse":
                found = cv2.resize(found, self.size if form == "smooth" else frame.shape[1::-1])
            found = found.argmax(-1)
        return cv2.resize(found.astype(np.uint8), frame.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def agrees(file: File, frame: np.ndarray, logits: np.ndarray) -> float:
    """The share of the frame's pixels with the class of the float Keras model, made the same way."""
    form = "coarse" if file.forms[0] == "coarse" else "smooth"
    expected = cv2.resize(logits, file.size) if form == "smooth" else logits
    classes = cv2.resize(expected.argmax(-1).astype(np.uint8), frame.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return float(np.mean(file.class_map(frame, form) == classes))


def same_map(logits: np.ndarray, size: tuple[int, int], frame: tuple[int, int]) -> float:
    """The share of a frame's pixels that have the same class smooth and full."""
    high, wide = frame
    smooth = cv2.resize(logits, size[::-1]).argmax(-1).astype(np.uint8)
    smooth = cv2.resize(smooth, (wide, high), interpolation=cv2.INTER_NEAREST)
    return float(np.mean(smooth == cv2.resize(logits, (wide, high)).argmax(-1)))


def page(record: dict[str, Any]) -> str:
    """docs/export_paths.md."""
    rows = record["rows"]
    head = ["file", "type", "operations", "partitions", "MB", "pixels as float Keras"]
    lines = [head + [_threads("ms", n) for n in THREADS]]
    frames = [["file", *(_threads(f"{form}, ms", n) for form in FORMS for n in THREADS)]]
    for name, row in rows.items():
        cells = [name, row["type"], row["operations"], row["partitions"], f"{row['size_bytes'] / 1e6:.2f}"]
        lines.append([*cells, f"{row['agreement']:.2%}", *(f"{row['ms'][str(n)]:.1f}" for n in THREADS)])
        taken = [row["frame_ms"].get(form) for form in FORMS]
        frames.append([name, *("–" if one is None else f"{one[str(n)]:.1f}" for one in taken for n in THREADS)])
    ratios = "\n".join(f"- {line}" for line in comparisons(rows))
    high, wide = record["input"]
    return f"""# The usual export paths and ours

```sh
python benchmarks/export_paths.py RUN --data DATA.yaml --tfmot
```

`{record["model"]}`, trained on {record["data"]}, at {high}x{wide}; medians of {record["runs"]} runs, all files taking
turns in one process on {record["host"]}. The record is `docs/records/export_paths.json`. Host latency is not phone
latency.

{_table(lines)}

## From a camera frame to a class map

An RGB frame of {record["frame"][0]}x{record["frame"][1]} to a class map of its size. Coarse: the largest class is taken
at the logits' own size; smooth: after the logits were enlarged to the input's size; both are then enlarged by the
nearest pixel. Full: the logits are enlarged to the frame's size, which only floats outside of the file can be; of its
map, {record["smooth_is_full"]:.2%} of the pixels are those of the smooth one.

{_table(frames)}

## Where the time of an inference goes

Milliseconds by kind of operation, on one thread, each file profiled by itself. `{UNMOVED}` is ours
before work was moved to fewer pixels ([decision 0018](decisions/0018-work-on-few-pixels.md)). All files do their
convolutions in the same kernels of XNNPACK, which are the bulk of an inference; what a converter can take away is the
rest, and the multiply-adds on pixels that are all the same.

{_table(spending(rows))}

{_least(rows)}

## Ours over the best of the usual files

{ratios}

{", ".join(f"{name} {version}" for name, version in record["versions"].items())}.
"""


def spending(rows: dict[str, dict[str, Any]]) -> list[list[Any]]:
    """A line per kind of operation that takes some time, a column per profiled file."""
    found = [rows[name]["kinds"] for name in PROFILED]
    total = Counter[str]()
    for one in found:
        total.update(one)
    shown = [kind for kind, _ in total.most_common() if max(one.get(kind, 0.0) for one in found) >= SHOWN_MS]
    lines = [["operations", *PROFILED]]
    lines += [[kind, *(f"{one[kind]:.2f}" if kind in one else "–" for one in found)] for kind in shown]
    rest = [sum(taken for kind, taken in one.items() if kind not in shown) for one in found]
    return [
        *lines,
        ["others", *(f"{one:.2f}" for one in rest)],
        ["all", *(f"{sum(one.values()):.1f}" for one in found)],
    ]


def _least(rows: dict[str, dict[str, Any]]) -> str:
    """How far a converter could get."""
    usual, mine = "SavedModel", LOGITS.format("float32")
    theirs, ours = rows[usual]["kinds"], rows[mine]["kinds"]
    convolving = sum(taken for kind, taken in ours.items() if "CONV" in kind)
    share = convolving / sum(theirs.values())
    return (
        f"By these profiles `{mine}` takes {sum(ours.values()) / sum(theirs.values()):.2f} times as long as `{usual}`; "
        f"its convolutions alone take {share:.2f} times as long as all of that file: with these kernels no converter "
        "gets below."
    )


def _threads(what: str, count: int) -> str:
    return f"{what}, {count} thread{'s'[: count > 1]}"


def _table(lines: list[list[Any]]) -> str:
    head, *rows = ["| " + " | ".join(map(str, line)) + " |" for line in lines]
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rows])


def comparisons(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Ours over the best of the usual files, and what of it is inference."""
    others = {name: row for name, row in rows.items() if not name.startswith("ours")}
    before = rows[UNMOVED]["ms"]
    for threads in map(str, THREADS):
        inference = min(row["ms"][threads] for row in others.values())
        mine = min(rows[LOGITS.format(kind)]["ms"][threads] for kind in TYPES)
        then = before[threads] / inference
        yield f"Inference, {threads} thread(s): **{mine / inference:.2f}x**; before work was moved {then:.2f}x."
        for form, ours in (("coarse", "coarse"), ("smooth", "smooth"), ("full", "smooth")):
            best = min(row["frame_ms"][form][threads] for row in others.values())
            made = min(rows[LABELS.format(kind, ours)]["frame_ms"][ours][threads] for kind in TYPES)
            what = form if form == ours else f"{ours} beside their {form}"
            yield (
                f"Frame to class map, {what}, {threads} thread(s): **{made / best:.2f}x**; of their {best:.1f} ms, "
                f"{inference:.1f} are inference."
            )


if __name__ == "__main__":
    sys.exit(main())
