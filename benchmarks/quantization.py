"""What int8 costs, what training in the loop gives back, and whether the file is what was trained.

    .venv/bin/python benchmarks/quantization.py runs/camvid_s49_minus --data benchmarks/camvid.yaml
    .venv/bin/python benchmarks/quantization.py --render   # docs/quantization.md from the record of the last run

Starts from a run's float model and its quantization-aware one, which `benchmarks/camvid.py` left. Each further
row quantizes the float one (after training, or with training in the loop by the same recipe), exports it, and
compares the file with its Keras model over all validation images, at the labels' full size, on labelled pixels.
An interrupted measurement goes on where it stopped.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg import api
from mobile_seg.cli.terminal import Progress
from mobile_seg.data.description import Dataset, load_dataset
from mobile_seg.data.readers import read_split
from mobile_seg.evaluation.confusion import confusion_matrix, score
from mobile_seg.files import write_json, write_text
from mobile_seg.imaging import resize_image, resize_labels
from mobile_seg.keras_file import installed_versions
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.training.recipe import Recipe
from mobile_seg.verify.runners import Runner, open_artifact

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "quantization.json"
IGNORE = 255

ROWS: tuple[tuple[str, str, bool], ...] = (
    ("int8, after training", "int8", False),
    ("int8, training in the loop", "int8", True),
    ("int8 per tensor, after training", "int8-per-tensor", False),
    ("int8 per tensor, training in the loop", "int8-per-tensor", True),
    ("int16x8, after training", "int16x8", False),
    ("w8, after training", "w8", False),
)
"""(title, scheme, whether it is trained)."""


def main() -> int:
    """Measure unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", help="the folder of a run, for its model_float.keras")
    parser.add_argument("--data", default="benchmarks/camvid.yaml")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--per-tensor-lr", type=float, default=0.005, help="more is broken, more is to be learnt")
    parser.add_argument("--render", action="store_true", help="render from the record")
    options = parser.parse_args()
    if not options.render:
        with Progress() as progress:
            write_json(RECORD, measure(options, progress))
    write_text(ROOT / "docs" / "quantization.md", page(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measure(options: argparse.Namespace, progress: Any) -> dict[str, Any]:
    """A row per scheme and way."""
    folder, dataset = Path(options.run), load_dataset(options.data)
    recipe = Recipe(steps=options.steps, batch=8, learning_rate=options.lr)
    rows = []
    for title, scheme, trained in ROWS:
        place = folder / "quantization" / f"{scheme}_{'qat' if trained else 'ptq'}"
        rate = options.per_tensor_lr if scheme == "int8-per-tensor" else options.lr
        cached = place / "row.json"
        if not cached.is_file():
            model = folder / "model_qat.keras"  # the run's own, where it is what this row shows
            if not (trained and scheme == "int8"):
                model = api.quantize(
                    folder / "model_float.keras",
                    data=options.data,
                    folder=place,
                    scheme=scheme,
                    recipe=dataclasses.replace(recipe, learning_rate=rate) if trained else None,
                    evaluate_every=20,
                    resume=True,
                    progress=progress,
                )
            exported = api.export(model, data=options.data, folder=place, force=True, progress=progress)
            found = fidelity(open_artifact(model), open_artifact(exported.path), dataset)
            facts = inspect_tflite(exported.path)
            conversions = [dataclasses.asdict(conversion) for conversion in exported.conversions]
            sizes = {"size_bytes": facts.size_bytes, "float_operations": facts.float_ops, "conversions": conversions}
            write_json(cached, {"title": title, "scheme": scheme, "learning_rate": rate, **found, **sizes})
        rows.append(json.loads(cached.read_text(encoding="utf-8")))
    float_model = open_artifact(folder / "model_float.keras")
    return {
        "model": float_model.manifest.model,
        "input": list(float_model.input_size),
        "data": dataset.name,
        "images": len(dataset.val),
        "recipe": dataclasses.asdict(recipe),
        "float_miou": api.evaluate(float_model, data=options.data, progress=progress).miou,
        "versions": installed_versions(),
        "rows": rows,
    }


def fidelity(reference: Runner, candidate: Runner, dataset: Dataset) -> dict[str, Any]:
    """A file beside its Keras model, on every validation image."""
    classes = len(dataset.classes)
    confusion = np.zeros((classes, classes), np.int64)
    own = np.zeros_like(confusion)
    same = pixels = equal = close = values = 0
    step = candidate.quantization[0] if candidate.quantization else 0.0
    for image, label in read_split(dataset, "val"):
        of_model, of_file = (resize_labels(runner.segment(image), label.shape) for runner in (reference, candidate))
        own += confusion_matrix(label, of_model, classes=classes, ignore=IGNORE)
        confusion += confusion_matrix(label, of_file, classes=classes, ignore=IGNORE)
        labelled = label != IGNORE
        same, pixels = same + int((of_model == of_file)[labelled].sum()), pixels + int(labelled.sum())
        resized = resize_image(image, reference.input_size)
        difference = np.abs(reference.run(resized) - candidate.run(resized))
        # Dequantizing in float32 does not land exactly on the grid.
        equal, close = equal + int((difference <= 0.01 * step).sum()), close + int((difference <= 2.01 * step).sum())
        values += difference.size
    return {
        "miou": score(confusion).miou,
        "keras_miou": score(own).miou,
        "agreement": same / pixels,
        "labelled_pixels": pixels,
        "equal": equal / values if step else None,
        "within_2_steps": close / values if step else None,
    }


def page(record: dict[str, Any]) -> str:
    """docs/quantization.md."""
    recipe = record["recipe"]
    head = (
        "", "mIoU of the file", "against float", "of its Keras model", "labelled pixels alike", "values equal",
        "within 2 steps", "float operations", "QUANTIZE and DEQUANTIZE", "MB",
    )  # fmt: skip
    lines = [head, ("---",) * len(head)]
    for row in record["rows"]:
        drop = 100 * (row["miou"] - record["float_miou"])
        shares = ["–" if row[key] is None else f"{row[key]:.2%}" for key in ("equal", "within_2_steps")]
        lines.append(
            (
                row["title"], f"{row['miou']:.2%}", f"{drop:+.2f} points", f"{row['keras_miou']:.2%}",
                f"{row['agreement']:.2%}", *shares, str(row["float_operations"]), str(len(row["conversions"])),
                f"{row['size_bytes'] / 1e6:.2f}",
            )
        )  # fmt: skip
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    rates = {row["title"]: row["learning_rate"] for row in record["rows"] if row["title"].endswith("in the loop")}
    return f"""# What int8 costs, and what is left of the difference

Written by `benchmarks/quantization.py`; the record is `docs/records/quantization.json`.

{record["model"]} at {record["input"][0]}x{record["input"][1]} on {record["data"]}, float mIoU
{record["float_miou"]:.2%}. All {record["images"]} validation images, none of which was trained on, at full size:
{record["rows"][0]["labelled_pixels"]:,} labelled pixels. Training in the loop: {recipe["steps"]} steps of
{recipe["batch"]} images, learning rate {", ".join(f"{rate} ({title})" for title, rate in rates.items())};
of the state after calibration and those after every 20 steps, the one that scores best on these images is kept.

{table}

## What each conversion inside is for

{_reasons(record)}

## Does the file compute what was trained?

Yes, to the bit, where its layers do: [decision 0008](decisions/0008-settled-models-compute-like-the-kernels.md) says
how, what was measured without it, and which layers follow within a step instead. 16-bit files are computed in
floats on the Keras side and by LiteRT's reference kernels on the other; `w8` files quantize activations on the
fly, from each image's own range, which no graph foresees.

{", ".join(f"{name} {version}" for name, version in record["versions"].items())}.
"""


def _reasons(record: dict[str, Any]) -> str:
    lines = []
    for row in record["rows"]:
        counted: dict[str, int] = {}
        for conversion in row["conversions"]:
            reason = f"{conversion['operation']}, {conversion['reason']}"
            counted[reason] = counted.get(reason, 0) + 1
        told = "; ".join(f"{count}x {reason}" for reason, count in counted.items()) or "none"
        lines.append(f"- {row['title']}: {told}.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
