"""What a label map is worth that is taken at the output stride and repeated, against one of logits enlarged first.

    .venv/bin/python benchmarks/labels.py            # measures, then renders; on a quiet machine
    .venv/bin/python benchmarks/labels.py --render   # renders from the record

`labels` enlarges the logits and takes the largest; `labels-nearest` takes the largest and repeats it. Both files of the
Mobile SpineNet-S49- that `benchmarks/camvid.py` trained are made from one model, run over all validation images, and
timed in turn with the file that gives the logits alone. The section between `<!-- labels:start -->` and
`<!-- labels:end -->` of docs/results.md is written from `docs/records/labels.json`.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from marked import rewrite

from mobile_seg.data.description import load_dataset
from mobile_seg.data.readers import read_pair
from mobile_seg.exporting import export_all
from mobile_seg.files import write_json
from mobile_seg.keras_file import installed_versions
from mobile_seg.phases import miou
from mobile_seg.profiling.host import cpu_name
from mobile_seg.verify.compare import compare
from mobile_seg.verify.tflite_runner import TFLiteRunner, open_tflite

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "labels.json"
RESULTS = ROOT / "docs" / "results.md"
RUN = ROOT / "runs" / "camvid_s49_minus"
MODELS = {"float32": RUN / "model_float.keras", "int8": RUN / "model_qat.keras"}
OUTPUTS = ("logits", "labels", "labels-nearest")


def main() -> int:
    """Measure unless only rendering is asked for, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(ROOT / "benchmarks" / "camvid.yaml"))
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--render", action="store_true", help="render from the record")
    options = parser.parse_args()
    if not options.render:
        write_json(RECORD, measured(options))
    rewrite(RESULTS, "labels", section(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """A row per precision and output."""
    dataset = load_dataset(options.data)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for precision, model in MODELS.items():
            made = export_all(
                model, data=options.data, folder=folder, precision=(precision,), output=OUTPUTS, images=1, force=True
            )
            runners = {file.manifest.output.kind: open_tflite(file.path, threads=1) for file in made.files}
            images = [read_pair(pair, dataset)[0] for pair in dataset.val]
            times = in_turn(list(runners.values()), images[0], options)
            for (kind, runner), milliseconds in zip(runners.items(), times, strict=True):
                alike = compare(runners["labels"], runner, images).argmax if kind == "labels-nearest" else None
                score = miou(runner, dataset) if kind != "logits" else None
                rows.append({"precision": precision, "output": kind, "ms": milliseconds, "miou": score, "alike": alike})
            manifest = made.files[0].manifest
    return {
        "input": [manifest.input.height, manifest.input.width],
        "classes": len(manifest.classes),
        "images": len(dataset.val),
        "runs": options.runs,
        "warm_up": options.warm_up,
        "host": cpu_name(),
        "versions": installed_versions(),
        "rows": rows,
    }


def in_turn(runners: list[TFLiteRunner], image: Any, options: argparse.Namespace) -> list[float]:
    """Median milliseconds of each, from the input tensor to the output tensor, all taking turns."""
    tensors = [runner.preprocess(image) for runner in runners]
    samples: list[list[float]] = [[] for _ in runners]
    for number in range(options.warm_up + options.runs):
        for runner, tensor, taken in zip(runners, tensors, samples, strict=True):
            started = time.perf_counter()
            runner.infer(tensor)
            if number >= options.warm_up:
                taken.append(1e3 * (time.perf_counter() - started))
    return [statistics.median(taken) for taken in samples]


def section(record: dict[str, Any]) -> str:
    """The section of docs/results.md."""
    height, width = record["input"]
    lines = ["| precision | output | mIoU | pixels as `labels` | ms | of which the label map |", "|---" * 6 + "|"]
    bare = {row["precision"]: row["ms"] for row in record["rows"] if row["output"] == "logits"}
    for row in record["rows"]:
        score = "" if row["miou"] is None else f"{row['miou']:.2%}"
        alike = "" if row["alike"] is None else f"{row['alike']:.2%}"
        extra = "" if row["output"] == "logits" else f"{row['ms'] - bare[row['precision']]:+.2f}"
        lines.append(f"| {row['precision']} | `{row['output']}` | {score} | {alike} | {row['ms']:.2f} | {extra} |")
    return f"""## Label maps: enlarged logits against repeated ids

Mobile SpineNet-S49- at {height}x{width}, {record["classes"]} classes, as TFLite. mIoU over the {record["images"]}
validation images of CamVid; medians of {record["runs"]} runs after {record["warm_up"]}, one thread, files in turn,
from the input tensor to the output tensor.

{chr(10).join(lines)}

Host: {record["host"]}. {", ".join(f"{name} {version}" for name, version in record["versions"].items())};
`benchmarks/labels.py`."""


if __name__ == "__main__":
    sys.exit(main())
