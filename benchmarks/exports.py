"""How closely each artifact follows its Keras model: every mobile network, target, precision and output.

    .venv/bin/python benchmarks/exports.py                      # goes on where it stopped, then writes docs/exports.md
    .venv/bin/python benchmarks/exports.py --only NAME,NAME     # these networks
    .venv/bin/python benchmarks/exports.py --precisions NAME    # these precisions anew, of what is in the record
    .venv/bin/python benchmarks/exports.py --render             # from the record of the last runs

On images of CamVid, which is expected where `benchmarks/camvid.yaml` says. Mobile SpineNet-S49- has the weights that
`benchmarks/camvid.py` trained, MobileNetV2 0.5 those of a published file, where it lies in the folder that
MOBILE_SEG_PEERS names, each at its own size; the other networks have random weights at 96x128, normalized by statistics
of those images. Random networks amplify every rounding, so that only their float artifacts must agree.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import borrowed
import keras
import numpy as np

from mobile_seg import export_all
from mobile_seg.cli.terminal import Progress
from mobile_seg.converters.options import PRECISIONS, TARGETS
from mobile_seg.data.calibration import calibration_batches
from mobile_seg.data.description import Dataset, default_palette, load_dataset, spread
from mobile_seg.data.readers import read_image
from mobile_seg.export_artifact import Exported
from mobile_seg.files import size_of, write_json, write_text
from mobile_seg.imaging import resize_image
from mobile_seg.keras_file import installed_versions, keras_manifest, save_model
from mobile_seg.manifest import OUTPUT_KINDS
from mobile_seg.models.entry import SEMANTIC_HEADS, Entry
from mobile_seg.models.registry import ENTRIES, build
from mobile_seg.models.stand_in import as_if_trained

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "exports.json"
TRAINED = {"mobile_spinenet_s49_minus": ROOT / "runs" / "camvid_s49_minus" / "model_float.keras"}
PUBLISHED = Path(os.environ.get("MOBILE_SEG_PEERS", ROOT.parent / "shared" / "peers")) / "deeplabv3_257_mv_gpu.tflite"
UNTRAINED = "random weights"
SIZE, IMAGES = (96, 128), 8


def main() -> int:
    """Export what is not in the record yet, unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(ROOT / "benchmarks" / "camvid.yaml"))
    parser.add_argument("--only", type=lambda text: text.split(","), help="networks, separated by commas")
    parser.add_argument(
        "--outputs", type=lambda text: text.split(","), default=OUTPUT_KINDS, help="output forms, separated by commas"
    )
    parser.add_argument("--precisions", type=lambda text: text.split(","), help="measure these again")
    parser.add_argument("--anew", action="store_true", help="forget what is recorded of these networks")
    parser.add_argument("--render", action="store_true", help="render from the record")
    options = parser.parse_args()
    record: dict[str, Any] = {"networks": {}}
    if RECORD.is_file():
        record = json.loads(RECORD.read_text(encoding="utf-8"))
    if not options.render:
        dataset = load_dataset(options.data)
        chosen = [entry for entry in ENTRIES if entry.mobile and (not options.only or entry.name in options.only)]
        for entry in chosen:
            found = {} if options.anew else record["networks"].get(entry.name, {})
            kept = [row for row in found.get("rows", ()) if row["precision"] not in (options.precisions or ())]
            known = set() if options.precisions else {row["output"] for row in kept}
            if missing := [kind for kind in OUTPUT_KINDS if kind in options.outputs and kind not in known]:
                new = measured(entry, dataset, options.data, missing, options.precisions or PRECISIONS)
                record["networks"][entry.name] = new | {"rows": [*kept, *new["rows"]]}
                versions = installed_versions("coremltools", "onnx", "onnxruntime")
                write_json(RECORD, record | {"images": IMAGES, "versions": versions})
    write_text(ROOT / "docs" / "exports.md", page(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measured(
    entry: Entry, dataset: Dataset, data: str, outputs: Sequence[str], precisions: Sequence[str]
) -> dict[str, Any]:
    """Every artifact of a network in some forms. All at once: they share quantizing and the references."""
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        path, weights = _model(entry, dataset, Path(folder))
        exports = export_all(
            path,
            data=data,
            folder=folder,
            to=TARGETS,
            precision=precisions,
            output=outputs,
            images=IMAGES,
            force=True,
            progress=progress,
        )
        rows = [_row(file) for file in exports.files]
    given = exports.files[0].manifest.input
    return {"weights": weights, "input": [given.height, given.width], "rows": rows}


def _model(entry: Entry, dataset: Dataset, folder: Path) -> tuple[Path, str]:
    """A network, saved, and what its weights are."""
    trained = TRAINED.get(entry.name)
    if trained is not None and trained.is_file():
        return trained, "trained on CamVid"
    if entry.name == borrowed.NETWORK and PUBLISHED.is_file():
        return _published(dataset, folder)
    return _random(entry, dataset, folder), UNTRAINED


def _published(dataset: Dataset, folder: Path) -> tuple[Path, str]:
    """The network under the weights of a published file, and what of the images it takes for an object."""
    model = borrowed.borrowed(PUBLISHED)
    classes = tuple(PUBLISHED.with_suffix(".txt").read_text(encoding="utf-8").split("\n")[: borrowed.CLASSES])
    manifest = keras_manifest(
        model,
        classes,
        default_palette(len(classes)),
        precision="float32",
        name=borrowed.NETWORK,
        options=borrowed.OPTIONS,
    )
    shown = [resize_image(read_image(pair.image), borrowed.SIZE) for pair in spread(dataset.val, IMAGES)]
    objects = np.mean(model.predict_on_batch(np.stack(shown).astype(np.float32)).argmax(-1) > 0)
    weights = (
        f"weights published by TensorFlow, trained on Pascal VOC, for which {objects:.1%} of the pixels are objects"
    )
    return save_model(model, folder / "model_float.keras", manifest), weights


def _random(entry: Entry, dataset: Dataset, folder: Path) -> Path:
    """The network with random weights, its normalization as training on the dataset's images would leave it."""
    keras.utils.set_random_seed(0)
    head = next(head for head in entry.heads if head in SEMANTIC_HEADS)
    options = {"head": head}
    model = build(entry.name, input_size=SIZE, classes=len(dataset.classes), **options)
    (batch,) = calibration_batches(dataset, size=SIZE, images=8, batch=8)
    as_if_trained(model, batch)
    manifest = keras_manifest(
        model, dataset.classes, dataset.palette, precision="float32", name=entry.name, options=options
    )
    return save_model(model, folder / "model_float.keras", manifest)


def _row(file: Exported) -> dict[str, Any]:
    found = file.agreement.to_dict()
    return {
        "target": {".tflite": "tflite", ".onnx": "onnx", ".mlpackage": "coreml"}[file.path.suffix],
        "precision": file.manifest.precision,
        "output": file.manifest.output.kind,
        "argmax": found["argmax"],
        "psnr_db": found["psnr_db"],
        "max_steps": found["max_steps"],
        "mask_shift_px": found["mask_shift_px"],
        "bytes": size_of(file.path),
        "seconds": file.seconds,
    }


def page(record: dict[str, Any]) -> str:
    """docs/exports.md."""
    trained_first = sorted(record["networks"].items(), key=lambda item: item[1]["weights"] == UNTRAINED)
    parts = [_network(name, found) for name, found in trained_first]
    return f"""# How closely each artifact follows its Keras model

Written by `benchmarks/exports.py`; the record is `docs/records/exports.json`. Pixels of {record["images"]} CamVid
images with the same class as in the Keras model: the float one, or for int8, int16x8 and w8 the quantized one, which
was quantized after training. Beside it the PSNR of the logits (`=`: every one equal) and the artifact's size. TFLite
runs in LiteRT, ONNX in ONNX Runtime, Core ML in our evaluator of the saved package. A dash: no runtime has that
combination, `mobile-seg export` says why; `not run`: not measured yet.

How many pixels a rounding parts depends on the margins between classes. Those of the network trained on CamVid are
narrow (1000 steps), those of the published one wide, and networks with random weights amplify every rounding: what
half precision and integers do to them says nothing of trained ones. TFLite and ONNX Runtime compute int8 in integers;
Core ML moves integers from one operation to the next and computes each in half precision, where a number near the
middle between two steps falls to either side. Its floor (`mobile_seg/verify/gate.py`) is lower for that, and on
networks with random weights nothing is left after so many layers.

{"".join(parts)}
{", ".join(f"{name} {version}" for name, version in record["versions"].items())}.
"""


def _network(name: str, found: dict[str, Any]) -> str:
    height, width = found["input"]
    rows = {(row["target"], row["precision"], row["output"]): row for row in found["rows"]}
    run = {output for _, _, output in rows}
    lines = ["| target | precision | " + " | ".join(f"`{kind}`" for kind in OUTPUT_KINDS) + " | PSNR | MB |"]
    lines.append("|---" * (len(OUTPUT_KINDS) + 4) + "|")
    for target in TARGETS:
        for precision in PRECISIONS:
            cells = [rows.get((target, precision, kind)) for kind in OUTPUT_KINDS]
            first = cells[0]
            if first is None:  # no runtime has it in any form
                continue
            shares = [_share(cell, kind in run) for cell, kind in zip(cells, OUTPUT_KINDS, strict=True)]
            psnr = "=" if first["psnr_db"] is None else f"{first['psnr_db']:.1f} dB"
            lines.append("| " + " | ".join((target, precision, *shares, psnr, f"{first['bytes'] / 1e6:.2f}")) + " |")
    return f"## {name}, {height}x{width}, {found['weights']}\n\n" + "\n".join(lines) + "\n\n"


def _share(cell: dict[str, Any] | None, run: bool) -> str:
    if cell is None:
        return "–" if run else "not run"
    return f"{100 * cell['argmax']:.2f}%"


if __name__ == "__main__":
    sys.exit(main())
