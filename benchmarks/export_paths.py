"""One trained network through the usual ways to a .tflite file and through ours, side by side.

    .venv/bin/python benchmarks/export_paths.py runs/camvid_s49_minus --data benchmarks/camvid.yaml
    .venv/bin/python benchmarks/export_paths.py --render   # docs/export_paths.md from the record of the last run

The folder is a run's: its float model goes through the usual ways, its quantized one through ours. All files take
turns, one run each, first the model alone, then from an RGB frame to a class map of the frame's size, as an app does:
around the usual files it casts, dequantizes and takes the largest class itself, around ours the file does. "Coarse"
takes the class at the logits' own size, "smooth" after enlarging the logits to the input's size; ours has a file for
each. With --tfmot (extra `tfmot`), TF-MOT's quantization-aware training for a few steps too: its graph is what counts
here, not its weights. Wants a machine that does nothing else.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from mobile_seg import api
from mobile_seg.cli.terminal import Progress
from mobile_seg.data.calibration import calibration_batches
from mobile_seg.data.description import Dataset, load_dataset, spread
from mobile_seg.data.readers import read_pair
from mobile_seg.data.stream import TrainStream
from mobile_seg.files import write_json, write_text
from mobile_seg.keras_file import installed_versions
from mobile_seg.profiling.host import cpu_name
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.quantization import tfmot
from mobile_seg.training.losses import SegmentationLoss
from mobile_seg.training.recipe import UNDECAYED, Recipe
from mobile_seg.verify.keras_runner import load_keras
from mobile_seg.verify.tflite_runner import load_interpreter

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "export_paths.json"
THREADS, FRAMES = (1, 2), 8
OURS = {"logits": "ours, logits", "labels-nearest": "ours, labels (coarse)", "labels": "ours, labels (smooth)"}
FORMS = ("coarse", "smooth")


def main() -> int:
    """Convert and measure unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, help="the folder of a run")
    parser.add_argument("--data", default=str(ROOT / "benchmarks" / "camvid.yaml"))
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--tfmot", action="store_true", help="TF-MOT too; needs the extra tfmot")
    parser.add_argument("--render", action="store_true", help="render from the record")
    options = parser.parse_args()
    if not options.render:
        with Progress() as progress:
            write_json(RECORD, measure(options, progress))
    write_text(ROOT / "docs" / "export_paths.md", page(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measure(options: argparse.Namespace, progress: Callable[[int, int, str], None]) -> dict[str, Any]:
    """A row per file."""
    dataset = load_dataset(options.data)
    network = load_keras(options.run / "model_float.keras")
    size = tuple(network.input_shape[1:3])
    chosen = spread(dataset.val, FRAMES)
    frames = [read_pair(pair, dataset)[0] for pair in chosen]
    contents = dict(usual(network, dataset, options)) | dict(ours(options))
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
        "runs": options.runs,
        "host": cpu_name(),
        "versions": installed_versions(),
        "rows": rows,
    }


def timed(into: list[float], call: Callable[[], object], kept: bool) -> None:
    """Append a call's milliseconds, unless it is warming up."""
    started = time.perf_counter()
    call()
    if kept:
        into.append(1e3 * (time.perf_counter() - started))


def usual(network: keras.Model, dataset: Dataset, options: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """The network by the ways that TensorFlow's and Keras' documentation shows."""
    shown = list(calibration_batches(dataset, size=tuple(network.input_shape[1:3])))

    def images() -> Iterator[list[np.ndarray]]:
        yield from ([image[None].astype(np.float32)] for batch in shown for image in batch)

    integers = {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": images,
        "inference_input_type": tf.uint8,
        "inference_output_type": tf.int8,
    }
    with tempfile.TemporaryDirectory() as folder:
        file, saved = Path(folder, "model.tflite"), str(Path(folder, "saved"))
        network.export(file, format="litert", verbose=False)
        yield "keras export(format='litert')", file.read_bytes()
        network.export(saved, verbose=False)
        for name, settings in (("SavedModel", {}), ("SavedModel, PTQ", integers)):
            converter = tf.lite.TFLiteConverter.from_saved_model(saved)
            vars(converter).update({key: value for key, value in settings.items() if hasattr(converter, key)})
            if settings:
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            yield name, converter.convert()
    if options.tfmot:
        recipe, size = Recipe(steps=4, batch=8, learning_rate=1e-4), tuple(network.input_shape[1:3])
        with TrainStream(dataset, size=size, batch=recipe.batch, seed=0) as batches:
            training = tfmot.Training(recipe, batches, SegmentationLoss(), UNDECAYED)
            made = tfmot.run_tfmot(network, method="qat", images=shown, training=training, integer_io=True)
        yield "TF-MOT", made.content


def ours(options: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """The run's quantized model as logits and as labels, its float one as logits."""
    with tempfile.TemporaryDirectory() as folder:
        for model, precision, outputs in (
            ("model_float.keras", "float32", {"logits": "ours, float32"}),
            ("model_qat.keras", "int8", OURS),
        ):
            for output, name in outputs.items():
                made = api.export(
                    options.run / model,
                    data=options.data,
                    folder=folder,
                    precision=precision,
                    output=output,
                    io="uint8" if precision == "int8" else "float",
                    force=True,
                )
                yield name, made.path.read_bytes()


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
            if form == "smooth":
                found = cv2.resize(found, self.size)
            found = found.argmax(-1)
        return cv2.resize(found.astype(np.uint8), frame.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def agrees(file: File, frame: np.ndarray, logits: np.ndarray) -> float:
    """The share of the frame's pixels with the class of the float Keras model, made the same way."""
    form = file.forms[-1]
    expected = cv2.resize(logits, file.size) if form == "smooth" else logits
    classes = cv2.resize(expected.argmax(-1).astype(np.uint8), frame.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return float(np.mean(file.class_map(frame, form) == classes))


def page(record: dict[str, Any]) -> str:
    """docs/export_paths.md."""
    rows = record["rows"]
    head = ["file", "type", "operations", "partitions", "MB", "pixels as float Keras"]
    head += [f"ms, {n} thread{'s'[: n > 1]}" for n in THREADS]
    head += [f"{form} frame, {n}" for form in FORMS for n in THREADS]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in rows.items():
        cells = [name, row["type"], row["operations"], row["partitions"], f"{row['size_bytes'] / 1e6:.2f}"]
        cells += [f"{row['agreement']:.2%}", *(f"{row['ms'][str(n)]:.1f}" for n in THREADS)]
        cells += [
            f"{row['frame_ms'][form][str(n)]:.1f}" if form in row["frame_ms"] else "–"
            for form in FORMS
            for n in THREADS
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    ratios = "\n".join(f"- {line}" for line in comparisons(rows))
    high, wide = record["input"]
    return f"""# The usual export paths and ours

```sh
python benchmarks/export_paths.py RUN --data DATA.yaml --tfmot
```

`{record["model"]}`, trained on {record["data"]}, at {high}x{wide}; medians of {record["runs"]} runs, all files taking
turns in one process on {record["host"]}. "Frame" is from an RGB frame of {record["frame"][0]}x{record["frame"][1]} to a
class map of its size: coarse with the largest class taken at the logits' own size, smooth with the logits enlarged to
the input's size first. The record is `docs/records/export_paths.json`. Host latency is not phone latency.

{chr(10).join(lines)}

{ratios}

{", ".join(f"{name} {version}" for name, version in record["versions"].items())}.
"""


def comparisons(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Ours over the best of the usual files."""
    others = {name: row for name, row in rows.items() if not name.startswith("ours")}
    for threads in map(str, THREADS):
        best = min(row["ms"][threads] for row in others.values())
        mine = min(rows["ours, float32"]["ms"][threads], rows[OURS["logits"]]["ms"][threads])
        yield f"Inference, {threads} thread(s): {mine / best:.2f}x the best of the usual files."
        for form, name in (("coarse", OURS["labels-nearest"]), ("smooth", OURS["labels"])):
            best = min(row["frame_ms"][form][threads] for row in others.values())
            mine = rows[name]["frame_ms"][form][threads]
            yield f"Frame to class map, {form}, {threads} thread(s): {mine / best:.2f}x the best of the usual files."


if __name__ == "__main__":
    sys.exit(main())
