"""Three ways to int8, side by side: our quantization-aware training, TF-MOT's, and TFLite's post-training quantization.

    .venv/bin/python benchmarks/qat_peers.py runs/camvid_s49_minus/model_float.keras --data benchmarks/camvid.yaml
    .venv/bin/python benchmarks/qat_peers.py --render   # docs/qat_peers.md from the record of the last run

Every engine starts from the same weights and takes the same number of steps on the same batches by the same
recipe; ours without training is shown too. The files are compared each with the graph it was made from, and timed
in turn, run by run, in one process on one thread. Needs the extra: pip install "mobile-seg[tfmot]".
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mobile_seg import api
from mobile_seg.cli.terminal import Progress
from mobile_seg.data.calibration import calibration_batches
from mobile_seg.data.description import Dataset, load_dataset
from mobile_seg.data.readers import read_split
from mobile_seg.data.stream import TrainStream
from mobile_seg.evaluation.evaluate import evaluate
from mobile_seg.files import write_json, write_text
from mobile_seg.keras_file import installed_versions
from mobile_seg.profiling.host import cpu_name
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.quantization import tfmot
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.settle import thaw_batch_norm
from mobile_seg.quantization.tfmot_train import stepper
from mobile_seg.tfmot_engine import TwinRunner, described
from mobile_seg.training.losses import SegmentationLoss
from mobile_seg.training.recipe import UNDECAYED, Recipe, optimizer
from mobile_seg.verify.compare import compare
from mobile_seg.verify.keras_runner import KerasRunner, load_keras
from mobile_seg.verify.runners import Runner, open_artifact, require_manifest
from mobile_seg.verify.tflite_runner import TFLiteRunner

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "qat_peers.json"
TIMED_STEPS, TIMED_RUNS, WARM_UP = 5, 50, 5

Step = Callable[[], object]


def main() -> int:
    """Run the comparison unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="a trained float .keras model")
    parser.add_argument("--data", default="benchmarks/camvid.yaml")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--render", action="store_true", help="render from the record")
    options = parser.parse_args()
    if not options.render:
        with Progress() as progress:
            write_json(RECORD, measure(options, progress))
    write_text(ROOT / "docs" / "qat_peers.md", page(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measure(options: argparse.Namespace, progress: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Every engine's file, what it reaches and costs."""
    dataset, recipe = load_dataset(options.data), Recipe(steps=options.steps, batch=8, learning_rate=options.lr)
    manifest, network = require_manifest(options.model), load_keras(options.model)
    shape = (manifest.input.height, manifest.input.width)
    shown = list(calibration_batches(dataset, size=shape))
    rows: dict[str, dict[str, Any]] = {}
    runners: dict[str, Runner] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, label in (("ours_ptq", "ours, no training"), ("ours_qat", "ours")):
            place = Path(folder) / name
            trained = api.quantize(
                options.model,
                data=options.data,
                folder=place,
                recipe=recipe if name == "ours_qat" else None,
                evaluate_every=20,
                progress=progress,
            )
            exported = api.export(trained, data=options.data, folder=place, force=True, progress=progress)
            runners[label] = open_artifact(exported.path, threads=1)
            reference = KerasRunner(load_keras(trained), manifest=manifest)
            rows[label] = row(dataset, reference, runners[label], exported.path.read_bytes())
    for method, label in (("ptq", "TFLite PTQ"), ("qat", "TF-MOT")):
        with TrainStream(dataset, size=shape, batch=recipe.batch, seed=recipe.seed) as batches:
            training = tfmot.Training(recipe, batches, SegmentationLoss(), UNDECAYED) if method == "qat" else None
            result = tfmot.run_tfmot(
                network, method=method, images=shown, training=training, integer_io=True, progress=progress
            )
        own = described(result.content, result.source, manifest)
        runners[label] = TFLiteRunner(result.content, manifest=own, threads=1)
        twin = TwinRunner(result.model, source=result.source, manifest=manifest)
        rows[label] = row(dataset, twin, runners[label], result.content)
    for label, milliseconds in latencies(runners, next(read_split(dataset, "val"))[0]).items():
        rows[label]["latency_ms"] = milliseconds
    ratios = step_ratios(network, result, shown[0], recipe)
    for label, ratio in ratios.items():
        rows[label]["step_ratio"] = ratio
    return {
        "model": manifest.model,
        "input": list(shape),
        "data": dataset.name,
        "float_miou": api.evaluate(options.model, data=options.data).miou,
        "recipe": dataclasses.asdict(recipe),
        "timed": {"steps": TIMED_STEPS, "runs": TIMED_RUNS, "warm_up": WARM_UP, "threads": 1},
        "host": cpu_name(),
        "versions": installed_versions(),
        "rows": rows,
    }


def row(dataset: Dataset, reference: Runner, runner: Runner, content: bytes) -> dict[str, Any]:
    """What a file reaches, and how closely it follows its own graph."""
    agreement = compare(reference, runner, (image for image, _ in read_split(dataset, "val")))
    facts = inspect_tflite(content)
    score = evaluate(runner.segment, read_split(dataset, "val"), classes=len(dataset.classes))
    return {
        "miou": score.miou,
        "agreement": agreement.argmax,
        "within_2_steps": agreement.within_2_steps,
        "operations": sum(count for _, count in facts.ops),
        "float_operations": facts.float_ops,
        "conversions": facts.quantize_ops,
        "partitions": facts.partitions,
        "size_bytes": len(content),
    }


def latencies(runners: dict[str, Runner], image: np.ndarray) -> dict[str, float]:
    """Median milliseconds of one inference, the files taking turns."""
    tensors = {label: runner.preprocess(image) for label, runner in runners.items()}
    times: dict[str, list[float]] = {label: [] for label in runners}
    for number in range(WARM_UP + TIMED_RUNS):
        for label, runner in runners.items():
            started = time.perf_counter()
            runner.infer(tensors[label])
            if number >= WARM_UP:
                times[label].append(1e3 * (time.perf_counter() - started))
    return {label: statistics.median(found) for label, found in times.items()}


def step_ratios(network: Any, result: tfmot.TfmotResult, images: np.ndarray, recipe: Recipe) -> dict[str, float]:
    """Seconds of a quantization-aware step over a float step of the same framework, steps taken in turn."""
    labels = np.zeros(images.shape[:3], np.uint8)
    aware = insert_quantizers(network)
    thaw_batch_norm(aware)  # its dearest phase

    def ours(model: Any) -> Step:
        model.compile(
            optimizer=optimizer(recipe, model.trainable_variables), loss=SegmentationLoss(), jit_compile=False
        )
        return lambda: model.train_on_batch(images, labels)

    def theirs(model: Any) -> Step:
        once = dataclasses.replace(recipe, steps=1)
        batch = result.source.normalize(images)
        step, _ = stepper(model, once, loss=SegmentationLoss(), undecayed=UNDECAYED)
        return lambda: float(step(tf.convert_to_tensor(batch), tf.convert_to_tensor(labels)))

    pairs = {"ours": (ours(keras.models.clone_model(network)), ours(aware)),
             "TF-MOT": (theirs(result.source.twin), theirs(result.model))}  # fmt: skip
    found = {}
    for label, pair in pairs.items():
        seconds: tuple[list[float], list[float]] = ([], [])
        for number in range(1 + TIMED_STEPS):
            for step, times in zip(pair, seconds, strict=True):
                started = time.perf_counter()
                step()
                if number:
                    times.append(time.perf_counter() - started)
        found[label] = statistics.median(seconds[1]) / statistics.median(seconds[0])
    return found


COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("mIoU", "miou", "{:.2%}".format),
    ("pixels as its own graph", "agreement", "{:.2%}".format),
    ("logits within 2 steps", "within_2_steps", "{:.2%}".format),
    ("operations", "operations", str),
    ("float operations", "float_operations", str),
    ("QUANTIZE, DEQUANTIZE", "conversions", str),
    ("partitions", "partitions", str),
    ("MB", "size_bytes", lambda value: f"{value / 1e6:.2f}"),
    ("ms", "latency_ms", "{:.1f}".format),
    ("QAT step / float step", "step_ratio", "{:.2f}".format),
)


def page(record: dict[str, Any]) -> str:
    """docs/qat_peers.md."""
    recipe, timed = record["recipe"], record["timed"]
    head = ["engine", *(title for title, _, _ in COLUMNS)]
    lines = [head, ["---"] * len(head)]
    for label, found in record["rows"].items():
        lines.append([label, *(tell(found[key]) if key in found else "–" for _, key, tell in COLUMNS)])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"""# Our quantization-aware training beside TF-MOT's and TFLite's PTQ

Written by `benchmarks/qat_peers.py`; the record is `docs/records/qat_peers.json`.

{record["model"]} at {record["input"][0]}x{record["input"][1]} on {record["data"]}, float mIoU
{record["float_miou"]:.2%}. All start from these weights. The two trained engines take {recipe["steps"]} steps on the
same batches of {recipe["batch"]}, learning rate {recipe["learning_rate"]}.

{table}

"Its own graph" is the model that training saw: for TFLite PTQ, which has none, the float model. Milliseconds are
medians of {timed["runs"]} runs after {timed["warm_up"]}, {timed["threads"]} thread, the files taking turns in one
process ({record["host"]}). The step ratio is of medians of {timed["steps"]} steps, taken in turn; ours with batch
statistics still on, its dearest phase. TF-MOT's ranges start at ±6 and move by a thousandth a step, so that few
steps do it no justice; that it cannot start from calibrated ranges is part of what is compared.

{", ".join(f"{name} {version}" for name, version in record["versions"].items())}.
"""


if __name__ == "__main__":
    sys.exit(main())
