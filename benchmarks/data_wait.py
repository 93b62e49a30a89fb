"""What share of its time does a training step wait for data?

    python benchmarks/data_wait.py --data benchmarks/camvid.yaml --input 256x352 --batch 8 --steps 60

Trains a model on batches of the real stream (decoding, scale jitter, crop, flip, colour) and times,
in each step, the wait for the batch apart from the work on it. Prints one JSON record; its times are
seconds, `share_waited` is the sum of the waits over the sum of the steps. The first steps, which
compile, are left out. `--step-seconds` puts a sleep in the place of the model: the data's own limit.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np

from mobile_seg.data.description import load_dataset
from mobile_seg.data.stream import TrainStream

PACKAGES = ("keras", "jax", "tensorflow", "numpy", "opencv-python", "pillow")

Step = Callable[[np.ndarray, np.ndarray], object]


def main() -> None:
    options = parse()
    dataset = load_dataset(options.data)
    if options.step_seconds is None:
        step, device = training_step(options, len(dataset.classes))
    else:
        step, device = (lambda images, labels: time.sleep(options.step_seconds)), "none (sleep)"
    waits, works = [], []
    with TrainStream(dataset, size=options.input, batch=options.batch, workers=options.workers) as batches:
        for number in range(options.warm_up + options.steps):
            begin = time.perf_counter()
            images, labels = next(batches)
            ready = time.perf_counter()
            step(images, labels)
            if number >= options.warm_up:
                waits.append(ready - begin)
                works.append(time.perf_counter() - ready)
    totals = [wait + work for wait, work in zip(waits, works, strict=True)]
    record = {
        "data": dataset.name,
        "images": len(dataset.train),
        "model": None if options.step_seconds is not None else options.model,
        "input": list(options.input),
        "batch": options.batch,
        "warm_up": options.warm_up,
        "steps": options.steps,
        "step_seconds_median": statistics.median(totals),
        "wait_seconds_median": statistics.median(waits),
        "wait_seconds_max": max(waits),
        "share_waited": sum(waits) / sum(totals),
        "data_threads": options.workers or os.cpu_count(),
        "opencv_threads": cv2.getNumThreads(),
        "cores": os.cpu_count(),
        "device": device,
        "python": platform.python_version(),
        "versions": versions(),
    }
    print(json.dumps(record, indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a dataset YAML")
    parser.add_argument("--model", default="mobile_spinenet_s49_minus")
    parser.add_argument("--input", type=height_and_width, default=(256, 352), metavar="HxW")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--workers", type=int, help="data threads (default: all cores)")
    parser.add_argument("--mixed-precision", action="store_true", help="as training does on a GPU")
    parser.add_argument("--step-seconds", type=float, help="sleep so long in the place of a model")
    return parser.parse_args()


def height_and_width(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def training_step(options: argparse.Namespace, classes: int) -> tuple[Step, str]:
    """Return one step of SGD on the model, which ends when its result is there, and the device's name."""
    import keras

    import mobile_seg
    from mobile_seg.training.losses import SegmentationLoss

    if options.mixed_precision:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = mobile_seg.build(options.model, input_size=options.input, classes=classes)
    optimizer = keras.optimizers.SGD(learning_rate=0.01, momentum=0.9)
    model.compile(optimizer=optimizer, loss=SegmentationLoss(ignore=255), jit_compile=keras.backend.backend() == "jax")
    devices = ", ".join(keras.distribution.list_devices())

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        float(model.train_on_batch(images, labels))  # the number is only there once the step is done

    return step, f"{keras.backend.backend()} on {devices}"


def versions() -> dict[str, str]:
    """Return the versions of those packages that are installed; JAX need not be."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


if __name__ == "__main__":
    main()
