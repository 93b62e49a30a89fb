"""MediaPipe's ImageSegmenter reads our TFLite files, and sees in them what we see.

It runs in a Python of its own, which `MOBILE_SEG_MEDIAPIPE_PYTHON` names or which is made here, in one process per
file: several segmenters in one process were seen to hang.

What MediaPipe 1.2 does around the network is not what our runner does. Into it, an image of another size is warped
with corners on corners and no half-pixel centres; so the images here have the input's size. Out of it, logits are
enlarged bilinearly with aligned corners, ours with half-pixel centres. So where logits come at the input's size the
masks are the same, and where they come at the output stride its mask is the argmax of our logits enlarged its way.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from e2e.client_pythons import bare_environment, python_with
from unit.quantization import nets

from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import convert
from mobile_seg.converters.tflite_metadata import MISREAD
from mobile_seg.inspection.tflite import inspect_tflite
from mobile_seg.models.registry import build
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.tflite_runner import TFLiteRunner, open_tflite

pytestmark = pytest.mark.slow

SIZE, CLASSES, COUNT = (64, 96), 5, 4
SECONDS = 120

CLIENT = """
import sys
import mediapipe as mp
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision

model, images, out = sys.argv[1:]
base = tasks.BaseOptions(model_asset_path=model)
options = vision.ImageSegmenterOptions(base_options=base, output_category_mask=True, output_confidence_masks=True)
found = {}
with vision.ImageSegmenter.create_from_options(options) as segmenter, np.load(images) as archive:
    found["labels"] = np.array(segmenter.labels)
    for name in archive.files:
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(archive[name]))
        result = segmenter.segment(image)
        found[f"mask {name}"] = np.squeeze(result.category_mask.numpy_view()).copy()
        found[f"sum {name}"] = sum(np.squeeze(mask.numpy_view()) for mask in result.confidence_masks)
np.savez(out, **found)
"""


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has MediaPipe; its pins fight with ours, so it is never this one."""
    given = os.environ.get("MOBILE_SEG_MEDIAPIPE_PYTHON")
    if given:
        return given
    return python_with(tmp_path_factory.mktemp("mediapipe"), "mediapipe>=1.2,<2")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Write the network in a precision and output; each once."""
    keras.utils.set_random_seed(0)
    network = build(
        "mobile_spinenet_s49_minus", input_size=SIZE, classes=CLASSES, aspp_rates=(1, 2, 3), bn_momentum=0.0
    )
    model = nets.as_if_trained(network)
    quantized = nets.calibrated(model)
    settle(quantized)
    folder = tmp_path_factory.mktemp("exports")

    def run(precision: str, output: str) -> Path:
        path = folder / f"{precision}_{output}.tflite"
        if not path.exists():
            if precision == "int8":
                made = nets.to_int8(quantized, output=output)
            else:
                shown = nets.in_form(model, output)
                options = ExportOptions(precision=precision, output=output)
                made = convert(shown, options=options, manifest=nets.manifest_of(shown), integer_graph=False)
            assert isinstance(made.content, bytes)
            path.write_bytes(made.content)
        return path

    return run


def segmented(python: str, model: Path, images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What MediaPipe makes of images: its labels, masks, and the sums of its confidences."""
    given, out = model.with_suffix(".images.npz"), model.with_suffix(".masks.npz")
    np.savez(given, *images)
    command = [python, "-c", CLIENT, str(model), str(given), str(out)]
    done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(out) as archive:
        return {name: archive[name] for name in archive.files}


def aligned_corners(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """MediaPipe's mask of `[h, w, C]` logits: enlarged so that corner values lie on corner pixels, then the largest."""
    rows, columns = (
        np.arange(wanted, dtype=np.float32) * np.float32((had - 1) / (wanted - 1))
        for had, wanted in zip(logits.shape[:2], size, strict=True)
    )
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    bottom, right = np.ceil(rows).astype(int), np.ceil(columns).astype(int)
    down, across = (rows - top)[:, None, None], (columns - left)[None, :, None]
    west = logits[top][:, left] + (logits[bottom][:, left] - logits[top][:, left]) * down
    east = logits[top][:, right] + (logits[bottom][:, right] - logits[top][:, right]) * down
    return np.asarray((west + (east - west) * across).argmax(-1))


def agreement(masks: dict[str, np.ndarray], expected: list[np.ndarray]) -> float:
    """The share of pixels with the same class."""
    return float(np.mean([masks[f"mask arr_{number}"] == one for number, one in enumerate(expected)]))


IMAGES = list(nets.images(COUNT, size=SIZE))


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_masks_of_full_size_logits_are_ours(python: str, export: Callable[[str, str], Path], precision: str) -> None:
    path = export(precision, "logits-full")
    masks, runner = segmented(python, path, IMAGES), open_tflite(path)
    assert list(masks["labels"]) == list(runner.manifest.classes)
    # int8: the same integers. Floats: its LiteRT is another version, whose sums differ in their last bits.
    floor = 1.0 if precision == "int8" else 0.9999
    assert agreement(masks, [runner.segment(image) for image in IMAGES]) >= floor
    for number in range(COUNT):  # the metadata asks for SOFTMAX
        np.testing.assert_allclose(masks[f"sum arr_{number}"], 1.0, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_masks_of_logits_at_the_output_stride_differ_by_its_resize_alone(
    python: str, export: Callable[[str, str], Path], precision: str
) -> None:
    path = export(precision, "logits")
    masks, runner = segmented(python, path, IMAGES), open_tflite(path)
    raw = [runner.infer(runner.preprocess(image)).astype(np.float32) for image in IMAGES]
    # Int8 logits tie now and then, and then the last bit of the interpolation decides: 4 pixels in 24576 are allowed.
    assert agreement(masks, [aligned_corners(one, SIZE) for one in raw]) >= 1 - 4 / (COUNT * SIZE[0] * SIZE[1])


@pytest.mark.parametrize(("precision", "output"), [("float32", "labels"), ("int8", "labels-nearest")])
def test_class_ids_are_misread_and_the_file_says_so(
    python: str, export: Callable[[str, str], Path], precision: str, output: str
) -> None:
    path = export(precision, output)
    found = inspect_tflite(path)
    assert MISREAD in found.metadata["TFLITE_METADATA"]["description"]
    assert found.reads == (MISREAD,)
    runner: TFLiteRunner = open_tflite(path)
    masks = segmented(python, path, IMAGES)
    assert agreement(masks, [runner.segment(image) for image in IMAGES]) < 0.9, "it reads class ids: say so no longer"


@pytest.mark.parametrize("output", ["logits", "logits-full"])
def test_what_is_read_is_said_to_be_read(export: Callable[[str, str], Path], output: str) -> None:
    (line,) = inspect_tflite(export("int8", output)).reads
    assert line.startswith("MediaPipe ImageSegmenter reads it")
