"""A record as a run writes it, with every number different, and two small examples."""

from typing import Any

import numpy as np
import pytest

from mobile_seg.report.page import Example

CLASSES = ["sky", "road & kerb", "tree"]
PALETTE = [[70, 130, 180], [128, 64, 128], [107, 142, 35]]


def _latency(infer: float) -> dict[str, dict[str, float]]:
    return {
        "1": {"pre": 0.61, "infer": infer, "post": 1.52},
        "2": {"pre": 0.63, "infer": infer / 2, "post": 1.49},
    }


def _artifact(precision: str, **more: Any) -> dict[str, Any]:
    size = {"float32": 5561232, "int8": 1913344}[precision]
    base = {"file": f"toy_{precision}.tflite", "precision": precision, "size_bytes": size, "partitions": 4}
    return {**base, "float_ops": 212 if precision == "float32" else 0, "sha256": "9f2b" * 16, **more}


@pytest.fixture
def record() -> dict[str, Any]:
    """A valid results.json value, fresh for each test."""
    return {
        "model": "mobile_spinenet_s49_minus",
        "data": "toy",
        "miou": {"float": 0.61543, "qat": 0.61402, "int8": 0.61229},
        "agreement": {"int8_vs_qat": 0.99482, "int8_vs_float": 0.98713},
        "latency_ms": _latency(24.31),
        "partitions": 3,
        "size_bytes": 1913344,
        "float_ops": 0,
        "run": "toy-1",
        "created": "2026-10-30T14:02:11+00:00",
        "command": "mobile-seg run --data toy.yaml --seed 1",
        "wall_seconds": {
            "float_training": 7431.2,
            "qat_training": 221.4,
            "export": 41.3,
            "verify": 18.9,
            "profile": 7.5,
        },
        "input_size": [256, 352],
        "output_stride": 8,
        "classes": list(CLASSES),
        "palette": [list(row) for row in PALETTE],
        "per_class_iou": {
            "float": [0.9012, 0.7634, None],
            "qat": [0.8998, 0.7621, 0.1],
            "int8": [0.8976, 0.7411, None],
        },
        "psnr_db": 38.214,
        "artifacts": [
            _artifact("float32", miou=0.61541, agreement=0.99971, latency_ms=_latency(55.9)),
            _artifact("int8", miou=0.61229, agreement=0.99482, latency_ms=_latency(24.31)),
        ],
        "params": 1383211,
        "macs": 1120000000,
        "peak_memory_bytes": 41331712,
        "latency_p95_ms": _latency(27.77),
        "history": {
            "float": [
                {"step": 100, "loss": 2.0, "lr": 0.1},
                {"step": 200, "loss": 1.0, "lr": 0.05, "miou": 0.4},
                {"step": 300, "loss": 0.5, "lr": 0.0, "miou": 0.6},
            ],
            "qat": [{"step": 50, "loss": 0.6, "lr": 0.01}, {"step": 100, "loss": 0.45, "lr": 0.0, "miou": 0.61}],
        },
        "versions": {"mobile-seg": "0.1.0", "ai-edge-litert": "2.3.0"},
        "host": {"cpu": "Some CPU", "cores": 2, "os": "Linux 6.1 x86_64"},
        "recipe": {"optimizer": "SGD", "base_lr": 0.05, "scale_jitter": [0.5, 2.0]},
    }


@pytest.fixture
def examples() -> list[Example]:
    """Two images of 20 x 30; the int8 prediction of the first differs from float in 6 of 600 pixels."""
    random = np.random.default_rng(0)
    made = []
    for name, differing in (("first", 6), ("second", 0)):
        truth = random.integers(0, 3, (20, 30)).astype(np.uint8)
        truth[0, :5] = 255
        float_prediction = np.where(truth == 255, 0, truth).astype(np.int64)
        int8_prediction = float_prediction.copy()
        int8_prediction.flat[:differing] = (float_prediction.flat[:differing] + 1) % 3
        image = random.integers(0, 256, (20, 30, 3)).astype(np.uint8)
        made.append(Example(name, image, truth, float_prediction, int8_prediction))
    return made
