"""One trained network through the usual ways to a .tflite file and through ours, side by side.

    .venv/bin/python benchmarks/export_paths.py runs/camvid_s49_minus --convert   # the files alone, on a busy machine
    .venv/bin/python benchmarks/export_paths.py runs/camvid_s49_minus   # measures them; converts what is missing
    .venv/bin/python benchmarks/export_paths.py --render   # docs/export_paths.md from the record of the last run

The folder is a run's: its float model goes through the usual ways, its quantized one through ours. The files are kept
in its folder `export_paths`; what is there is not converted again. All files take turns, one run each, first the model
alone, then from an RGB frame to a class map of the frame's size, as an app does: around the usual files it casts,
dequantizes and takes the largest class itself, around ours the file does. "Coarse" takes the class at the logits' own
size, "smooth" after enlarging the logits to the input's size; ours has a file for each. With --tfmot (extra `tfmot`),
TF-MOT's quantization-aware training for a few steps too: its graph is what counts here, not its weights. Measuring
wants a machine that does nothing else.
"""

import argparse
import functools
import json
import re
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
from mobile_seg.files import write_bytes, write_json, write_text
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
FLOAT, LOGITS, COARSE, SMOOTH = "ours, float32", "ours, logits", "ours, labels (coarse)", "ours, labels (smooth)"
FORMS = ("coarse", "smooth")


def main() -> int:
    """Convert and measure unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, help="the folder of a run")
    parser.add_argument("--data", default=str(ROOT / "benchmarks" / "camvid.yaml"))
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


def converted(options: argparse.Namespace, progress: Callable[[int, int, str], None]) -> Iterator[tuple[str, bytes]]:
    """Every file by its name, from the run's folder or converted now."""
    ways = WAYS if options.tfmot else {name: way for name, way in WAYS.items() if name != TFMOT}
    for number, (name, way) in enumerate(ways.items()):
        progress(number, len(ways), name)
        path = options.run / "export_paths" / f"{re.sub('[^a-z0-9]+', '_', name.lower()).strip('_')}.tflite"
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, way(options))
            keras.backend.clear_session()
        yield name, path.read_bytes()
    progress(len(ways), len(ways), "converted")


def measure(
    contents: dict[str, bytes], options: argparse.Namespace, progress: Callable[[int, int, str], None]
) -> dict[str, Any]:
    """A row per file."""
    dataset, network = loaded(options)
    size = tuple(network.input_shape[1:3])
    frames = [read_pair(pair, dataset)[0] for pair in spread(dataset.val, FRAMES)]
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


def loaded(options: argparse.Namespace) -> tuple[Dataset, keras.Model]:
    """The dataset and the run's float model."""
    return load_dataset(options.data), load_keras(options.run / "model_float.keras")


def litert(options: argparse.Namespace) -> bytes:
    """Keras' own export."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.tflite")
        loaded(options)[1].export(file, format="litert", verbose=False)
        return file.read_bytes()


def saved_model(options: argparse.Namespace, *, integers: bool = False) -> bytes:
    """A SavedModel through TFLiteConverter, as TensorFlow's documentation shows, quantized after training or not."""
    dataset, network = loaded(options)

    def images() -> Iterator[list[np.ndarray]]:
        batches = calibration_batches(dataset, size=tuple(network.input_shape[1:3]))
        yield from ([image[None].astype(np.float32)] for batch in batches for image in batch)

    with tempfile.TemporaryDirectory() as folder:
        network.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if integers:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = images
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
        return converter.convert()


def with_tfmot(options: argparse.Namespace) -> bytes:
    """TF-MOT's quantization-aware training, a few steps of it."""
    dataset, network = loaded(options)
    recipe, size = Recipe(steps=4, batch=8, learning_rate=1e-4), tuple(network.input_shape[1:3])
    shown = list(calibration_batches(dataset, size=size))
    with TrainStream(dataset, size=size, batch=recipe.batch, seed=0) as batches:
        training = tfmot.Training(recipe, batches, SegmentationLoss(), UNDECAYED)
        return tfmot.run_tfmot(network, method="qat", images=shown, training=training, integer_io=True).content


def ours(options: argparse.Namespace, *, precision: str = "int8", output: str = "logits") -> bytes:
    """The run's quantized model, or its float one."""
    model, io = ("model_qat.keras", "uint8") if precision == "int8" else ("model_float.keras", "float")
    with tempfile.TemporaryDirectory() as folder:
        made = api.export(
            options.run / model, data=options.data, folder=folder, precision=precision, output=output, io=io
        )
        return made.path.read_bytes()


TFMOT = "TF-MOT"
WAYS: dict[str, Callable[[argparse.Namespace], bytes]] = {
    "keras export(format='litert')": litert,
    "SavedModel": saved_model,
    "SavedModel, PTQ": functools.partial(saved_model, integers=True),
    TFMOT: with_tfmot,
    FLOAT: functools.partial(ours, precision="float32"),
    LOGITS: ours,
    COARSE: functools.partial(ours, output="labels-nearest"),
    SMOOTH: functools.partial(ours, output="labels"),
}
"""Ways from a run to a file."""


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
        mine = min(rows[FLOAT]["ms"][threads], rows[LOGITS]["ms"][threads])
        yield f"Inference, {threads} thread(s): {mine / best:.2f}x the best of the usual files."
        for form, name in (("coarse", COARSE), ("smooth", SMOOTH)):
            best = min(row["frame_ms"][form][threads] for row in others.values())
            mine = rows[name]["frame_ms"][form][threads]
            yield f"Frame to class map, {form}, {threads} thread(s): {mine / best:.2f}x the best of the usual files."


if __name__ == "__main__":
    sys.exit(main())
