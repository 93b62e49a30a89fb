"""Make docs/images/quickstart.png from the run that `make quickstart` left in runs/quickstart."""

from pathlib import Path

import cv2
import numpy as np

from mobile_seg import api
from mobile_seg.data.description import load_dataset
from mobile_seg.data.readers import read_pair
from mobile_seg.files import write_bytes
from mobile_seg.imaging import overlay

ROOT = Path(__file__).resolve().parents[1]
GAP = 6


def main() -> None:
    """One row: image, truth, float prediction, int8 prediction."""
    dataset = load_dataset(ROOT / "runs" / "toy" / "toy.yaml")
    image, truth = read_pair(dataset.val[3], dataset)
    run = ROOT / "runs" / "quickstart"
    labels = [truth]
    for artifact in (run / "model_float.keras", run / "artifacts" / "mobile_spinenet_s49_minus_int8.tflite"):
        labels += api.predict(artifact, [image])
    panels = [image, *(overlay(image, each, dataset.palette, 0.7) for each in labels)]
    gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
    strip = np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)
    done, encoded = cv2.imencode(".png", strip[..., ::-1])
    assert done, "OpenCV could not encode the picture"
    write_bytes(ROOT / "docs" / "images" / "quickstart.png", encoded.tobytes())


if __name__ == "__main__":
    main()
