"""Golden files: what Python computes, for the apps in Kotlin, Swift and JavaScript to compute too.

`python -m golden.apps FOLDER` (in `tests/`) writes, and `write` here:

    FOLDER/index.json
    FOLDER/models/*.tflite    exported models, their manifests inside
    FOLDER/images/*.rgb       [height, width, 3] uint8, RGB, at the model's input size; *.png the same for people
    FOLDER/cases/*.output     the output tensor: dtype and shape as the manifest has it, little endian, no batch axis
    FOLDER/cases/*.labels     [height, width] uint8: the class ids that an app shows, at the input's size
    FOLDER/cases/*.margin     [height, width] float32, little endian: how far the best logit leads the second there
    FOLDER/bad/*.tflite       files that an app must refuse with a message

`index.json`: `{"format_version": 1, "cases": [...], "bad": [...]}`. A case has `name`, the paths `model`, `image`,
`png`, `output`, `labels`, `margin` below FOLDER, `height` and `width` of image and labels, `logits` (false where the
output is class ids), `tolerance` and `tolerance_half`. A bad file has `file`, `what` is wrong, and `says`: words that
the message must hold.

An app passes a case if, fed with `image`,

1. every value of its output lies within `tolerance` of `output`, for logits: the unit is the tensor's own, a
   quantization step where it is an integer;
2. its mask has the class of `labels` wherever `margin` exceeds twice `tolerance`: two logits that err apart by it
   cannot change places there, and bilinear enlarging adds no error of its own.

`tolerance_half` is for a runtime that computes in float16 (a GPU may).
"""

import argparse
import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from golden import street
from unit.quantization import nets

from mobile_seg.artifact import with_members
from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import convert
from mobile_seg.files import write_bytes, write_json
from mobile_seg.imaging import resize_labels, resize_logits
from mobile_seg.manifest import AT_INPUT_SIZE, FORMAT_VERSION, MEMBER, Manifest
from mobile_seg.models.registry import build
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.full_size import at_input_size
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.runners import Runner, open_artifact

GOLDEN_VERSION = 1

INTEGER_STEPS = 2.0
"""Kernels differ in how they round between two scales: a step in the last tensor, and one that a resize or an
activation before it hands on. `verify.gate` allows as much."""

FLOAT_SHARE = 1e-4
"""Of the logits' range. The same float32 sums in another order: 1e-6 per layer (`verify.gate`, float32), a hundred
layers at most."""

HALF_SHARE = 1e-2
"""Of the logits' range, where a runtime rounds every result to 11 bits: 9e-3 (`verify.gate`, coreml float16)."""

FORMS = (
    ("float32", "logits", "uint8"),
    ("float32", "logits", "float"),
    ("float32", "logits-full", "uint8"),
    ("float32", "labels", "uint8"),
    ("float16", "logits", "uint8"),
    ("int8", "logits", "uint8"),
    ("int8", "logits", "int8"),
    ("int8", "logits", "float"),
    ("int8", "logits-full", "uint8"),
    ("int8", "labels-nearest", "uint8"),
)
"""Precision, output and io of the small network's files."""

OURS, OURS_SIZE, OURS_CLASSES = "mobile_spinenet_s49_minus", (64, 96), 5


@dataclass(frozen=True)
class Made:
    """A model's file, its name, the images it is shown, and the file whose logits tell how sure its classes are.

    `step`: of the quantization, in the unit of those logits; None where nothing is an integer.
    """

    name: str
    content: bytes
    images: tuple[np.ndarray, ...]
    surer: bytes
    step: float | None


def write(folder: Path) -> Path:
    """Write everything into `folder` and return the index's path. Takes half a minute: two networks are made."""
    cases = [row for made in (*_street(), *_ours()) for row in _write_cases(folder, made)]
    index = {"format_version": GOLDEN_VERSION, "cases": cases, "bad": _write_bad(folder)}
    return write_json(folder / "index.json", index)


def passes(case: dict[str, Any], folder: Path, output: np.ndarray, labels: np.ndarray, *, half: bool = False) -> str:
    """Say what is wrong with an output and a mask, by the two rules above; an empty string if nothing is."""
    tolerance = case["tolerance_half" if half else "tolerance"]
    size = case["height"], case["width"]
    expected = np.fromfile(folder / case["labels"], np.uint8).reshape(size)
    margin = np.fromfile(folder / case["margin"], "<f4").reshape(size)
    if case["logits"]:
        wanted = np.fromfile(folder / case["output"], output.dtype.newbyteorder("<")).reshape(output.shape)
        error = float(np.abs(output.astype(np.float64) - wanted).max())
        if error > tolerance:
            return f"{case['name']}: its output is off by {error:.3g}, {tolerance:.3g} is allowed"
    wrong = int(np.sum((labels != expected) & (margin > 2 * tolerance)))
    return f"{case['name']}: {wrong} pixels have another class" if wrong else ""


def _street() -> list[Made]:
    """A small network that has learnt to see, in every form."""
    images = tuple(street.shown()[:2])
    made = []
    for precision, output, io in FORMS:
        content = _exported(precision, output, io)
        siblings = {"labels": "logits-full", "labels-nearest": "logits"}
        surer = _exported(precision, siblings[output], io) if output in siblings else content
        step = None
        if precision == "int8":
            step = street.exported("int8", "logits").manifest.output.scale if io == "float" else 1.0
        name = f"street_{precision}_{output}_{io}".replace("-", "_")
        made.append(Made(name, content, images, surer, step))
    return made


@cache
def _exported(precision: str, output: str, io: str) -> bytes:
    """As the exporter writes it: metadata, labels and manifest inside."""
    integers = precision == "int8"
    model = street.reference_model(precision, "logits")
    graph = at_input_size(model) if output in AT_INPUT_SIZE else model
    made = convert(
        deploy_graph(graph) if integers else graph,
        options=ExportOptions(precision=precision, output=output, io=io),
        manifest=street.manifest_of(graph),
        integer_graph=integers,
    )
    return _bytes(made.content)


def _ours() -> list[Made]:
    """One of our networks, with weights as training could have left them."""
    import keras

    keras.utils.set_random_seed(0)
    network = build(OURS, input_size=OURS_SIZE, classes=OURS_CLASSES, aspp_rates=(1, 2, 3), bn_momentum=0.0)
    model = nets.as_if_trained(network)
    quantized = nets.calibrated(model)
    settle(quantized)
    floats = convert(
        model,
        options=ExportOptions(precision="float32"),
        manifest=nets.manifest_of(model),
        integer_graph=False,
    )
    images = tuple(nets.images(2, size=OURS_SIZE))
    files = {"float32": floats, "int8": nets.to_int8(quantized)}
    steps = {"float32": None, "int8": 1.0}
    return [
        Made(f"ours_{name}", _bytes(made.content), images, _bytes(made.content), steps[name])
        for name, made in files.items()
    ]


def _write_cases(folder: Path, made: Made) -> list[dict[str, Any]]:
    model = f"models/{made.name}.tflite"
    runner = open_artifact(write_bytes(folder / model, made.content))
    surer = open_artifact(write_bytes(folder / "surer.tflite", made.surer))
    (folder / "surer.tflite").unlink()
    rows = []
    for number, image in enumerate(made.images):
        stem = f"{made.name}_{number}"
        picture = f"images/{made.name.split('_')[0]}_{number}"
        raw = runner.infer(runner.preprocess(image))
        logits = surer.infer(surer.preprocess(image)).astype(np.float32)
        _write_image(folder / picture, image)
        write_bytes(folder / f"cases/{stem}.output", raw.astype(raw.dtype.newbyteorder("<")).tobytes())
        write_bytes(folder / f"cases/{stem}.labels", runner.segment(image).tobytes())
        write_bytes(folder / f"cases/{stem}.margin", _margin(logits, runner).astype("<f4").tobytes())
        rows.append(
            {
                "name": stem,
                "model": model,
                "image": f"{picture}.rgb",
                "png": f"{picture}.png",
                "height": image.shape[0],
                "width": image.shape[1],
                "logits": not runner.gives_labels,
                **{key: f"cases/{stem}.{key}" for key in ("output", "labels", "margin")},
                **_tolerances(logits, made.step),
            }
        )
    return rows


def _margin(logits: np.ndarray, runner: Runner) -> np.ndarray:
    """`[height, width]`: the best logit minus the second, where the mask's class is taken from."""
    if runner.manifest.output.kind == "labels-nearest":
        low = np.sort(logits, axis=-1)
        rows, columns = (np.arange(count) for count in low.shape[:2])
        places = resize_labels((rows[:, None] * len(columns) + columns).astype(np.float32), runner.input_size)
        return (low[..., -1] - low[..., -2]).ravel()[places.astype(int)]
    best = np.sort(resize_logits(logits, runner.input_size), axis=-1)
    return best[..., -1] - best[..., -2]


def _tolerances(logits: np.ndarray, step: float | None) -> dict[str, float]:
    reach = float(np.ptp(logits))
    rounding = 0.0 if step is None else INTEGER_STEPS * step
    return {
        "tolerance": rounding or FLOAT_SHARE * reach,
        "tolerance_half": max(rounding, HALF_SHARE * reach),
    }


def _write_image(path: Path, image: np.ndarray) -> None:
    write_bytes(path.with_suffix(".rgb"), image.tobytes())
    png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    write_bytes(path.with_suffix(".png"), png.tobytes())


def _write_bad(folder: Path) -> list[dict[str, str]]:
    """Files that no app may take, and words that its message must hold."""
    sound = street.exported("int8", "logits")
    wider = dataclasses.replace(sound.manifest.input, width=sound.manifest.input.width + 32)
    newer = dataclasses.replace(sound.manifest, format_version=FORMAT_VERSION + 1)
    packed = _packed(sound)
    scrambled = bytearray(packed)
    scrambled[packed.rindex(b'"format_version"')] ^= 0xFF
    files = {
        "no_manifest": ("no manifest inside", "manifest", sound.content),
        "newer_manifest": ("a manifest of a newer format", "format", _with(sound.content, newer)),
        "damaged_manifest": ("a byte of the manifest is wrong", "damaged", bytes(scrambled)),
        "wrong_size": (
            "a manifest of another input size",
            "manifest says",
            _with(sound.content, dataclasses.replace(sound.manifest, input=wider)),
        ),
        "cut": ("cut short", "manifest", packed[: len(packed) // 2]),
        "no_model": ("no TFLite file at all", "mobile-seg export", b"this is not a model at all\n" * 20),
    }
    for name, (_, _, content) in files.items():
        write_bytes(folder / f"bad/{name}.tflite", content)
    return [{"file": f"bad/{name}.tflite", "what": what, "says": says} for name, (what, says, _) in files.items()]


def _packed(file: street.File) -> bytes:
    return _with(file.content, file.manifest)


def _with(content: bytes, manifest: Manifest) -> bytes:
    return with_members(content, {MEMBER: manifest.to_json()})


def _bytes(content: Any) -> bytes:
    assert isinstance(content, bytes)
    return content


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the golden files that the apps are tested on.")
    parser.add_argument("folder", type=Path)
    print(write(parser.parse_args().folder))
