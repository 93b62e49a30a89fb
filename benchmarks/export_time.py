"""How long one export of everything takes: S49 at 512x1024 to TFLite, Core ML and ONNX, in float32 and int8.

    .venv/bin/python benchmarks/export_time.py            # measures, then renders
    .venv/bin/python benchmarks/export_time.py --render   # renders from the record

The network has random weights, its normalization as training could have left it; CamVid is expected where
`benchmarks/camvid.yaml` says. The section between `<!-- export time:start -->` and `<!-- export time:end -->` of
docs/results.md is written from `docs/records/export_time.json`. On a machine that does other work the seconds say
nothing; processor seconds say a little.
"""

import argparse
import contextlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "export_time.json"
RESULTS = ROOT / "docs" / "results.md"
NETWORK, SIZE, IMAGES = "mobile_spinenet_s49", (512, 1024), 8
LIMIT_SECONDS, LIMIT_GIB = 120, 4
TARGETS, PRECISIONS = ("tflite", "coreml", "onnx"), ("float32", "int8")


def main() -> int:
    """Measure in a process of its own, whose memory is that of the command, and render."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(ROOT / "benchmarks" / "camvid.yaml"))
    parser.add_argument("--render", action="store_true", help="render from the record")
    parser.add_argument("--model", help="a saved stand-in, so that it is not made again")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.model, options.data)))
        return 0
    from marked import rewrite

    from mobile_seg.files import write_json

    if not options.render:
        with tempfile.TemporaryDirectory() as folder:
            model = options.model or str(stand_in(Path(folder), options.data))
            command = [sys.executable, __file__, "--data", options.data, "--model", model, "--measure"]
            write_json(RECORD, watched(command))
    rewrite(RESULTS, "export time", section(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def stand_in(folder: Path, data: str) -> Path:
    """The network, saved as training saves one."""
    import keras

    from mobile_seg.data.calibration import calibration_batches
    from mobile_seg.data.description import load_dataset
    from mobile_seg.keras_file import keras_manifest, save_model
    from mobile_seg.models.registry import build
    from mobile_seg.models.stand_in import as_if_trained

    keras.utils.set_random_seed(0)
    dataset = load_dataset(data)
    model = build(NETWORK, input_size=SIZE, classes=len(dataset.classes))
    as_if_trained(model, next(calibration_batches(dataset, size=SIZE, images=2, batch=2)))
    manifest = keras_manifest(model, dataset.classes, dataset.palette, precision="float32", name=NETWORK)
    return save_model(model, folder / "model_float.keras", manifest)


def watched(command: list[str]) -> dict[str, Any]:
    """What `measured` tells of itself in a process of its own, and "gib".

    The memory is the largest of the command plus the largest of the process beside, which runs the artifacts, at
    whatever times they were. Not `ru_maxrss`: Linux hands it on from the process that started this one.
    """
    largest: dict[int, int] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            largest.update(high_water_marks(process.pid))
            time.sleep(0.05)
        told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return {**json.loads(told.splitlines()[-1]), "gib": round(sum(largest.values()) / 2**30, 2)}


def high_water_marks(root: int) -> dict[int, int]:
    """The largest resident memory so far, in bytes, of the process `root` and of its children, by process."""
    from mobile_seg.errors import ProfileError
    from mobile_seg.profiling.worker import peak_resident_bytes

    found = {}
    with contextlib.suppress(OSError, ProfileError):  # it has ended
        tasks = Path(f"/proc/{root}/task").glob("*/children")
        for process in (root, *(int(child) for task in tasks for child in task.read_text().split())):
            found[process] = peak_resident_bytes(f"/proc/{process}/status")
    return found


def measured(model: str, data: str) -> dict[str, Any]:
    """One export of everything: seconds and processor seconds of each step, in order."""
    steps: list[dict[str, Any]] = []
    began = time.perf_counter(), time.process_time()

    def told(done: int, total: int, text: str) -> None:
        now = time.perf_counter() - began[0], time.process_time() - began[1]
        print(f"{now[0]:6.1f} s, {now[1]:6.1f} s of processors: {text} {done}/{total}", file=sys.stderr, flush=True)
        if not steps or steps[-1]["step"] != text:
            steps.append({"step": text, "at": now[0], "at_processor": now[1]})

    told(0, 1, "loading TensorFlow and the model")
    from mobile_seg.exporting import export_all
    from mobile_seg.keras_file import installed_versions

    with tempfile.TemporaryDirectory() as folder:
        exports = export_all(
            model, data=data, folder=folder, to=TARGETS, precision=PRECISIONS, images=IMAGES, force=True, progress=told
        )
    told(0, 1, "done")
    spent = [
        {
            "step": one["step"],
            "seconds": round(after["at"] - one["at"], 2),
            "processor_seconds": round(after["at_processor"] - one["at_processor"], 2),
        }
        for one, after in itertools.pairwise(steps)
    ]
    beside = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "network": NETWORK,
        "input": list(SIZE),
        "images": IMAGES,
        "cores": len(os.sched_getaffinity(0)),
        "seconds": round(steps[-1]["at"], 1),
        "processor_seconds": round(steps[-1]["at_processor"], 1),
        "beside_processor_seconds": round(beside.ru_utime + beside.ru_stime, 1),
        "steps": spent,
        "artifacts": [
            {"name": file.path.name, "argmax": file.agreement.argmax, **file.seconds} for file in exports.files
        ],
        "versions": installed_versions("coremltools", "onnx", "onnxruntime"),
    }


def section(record: dict[str, Any]) -> str:
    """The section of docs/results.md."""
    height, width = record["input"]
    total = record["seconds"]
    rows = [
        f"| {one['step']} | {one['seconds']:.1f} | {one['processor_seconds']:.1f} | {one['seconds'] / total:.0%} |"
        for one in record["steps"]
    ]
    limits = [
        f"{'under' if total < LIMIT_SECONDS else 'over'} the {LIMIT_SECONDS} s that we ask for",
        f"{'under' if record['gib'] < LIMIT_GIB else 'over'} the {LIMIT_GIB} GiB",
    ]
    return f"""## One export of everything

`mobile-seg export --to tflite,coreml,onnx --precision float32,int8 --images {record["images"]}` of a float
{record["network"]} at {height}x{width}, random weights, which is quantized after training on the way: six artifacts,
each verified on {record["images"]} images, in {total:.0f} s on {record["cores"]} cores ({limits[0]}) with
{record["gib"]:.1f} GiB at most in both of its processes ({limits[1]}). Quantizing is part of the first int8 artifact.
The artifacts are run in a process beside while others are converted ({record["beside_processor_seconds"]:.0f} s of a
processor); verifying is the Keras models' own inference, the building of it, and the comparing.

| step | s | processor s | share |
|---|---|---|---|
{chr(10).join(rows)}

{", ".join(f"{name} {version}" for name, version in record["versions"].items())}; `benchmarks/export_time.py`."""


if __name__ == "__main__":
    sys.exit(main())
