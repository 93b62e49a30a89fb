"""Which weights half precision may round: the smallest tensors are little of a file and most of its error.

    .venv/bin/python benchmarks/half_weights.py            # measures, then renders
    .venv/bin/python benchmarks/half_weights.py --render   # renders from the record

The Mobile SpineNet-S49- that `benchmarks/camvid.py` trained, as files with float16 weights that keep tensors of ever
more values in float32, over all validation images against the Keras model. The section between
`<!-- halves:start -->` and `<!-- halves:end -->` of docs/results.md is written from `docs/records/half_weights.json`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from marked import rewrite

from mobile_seg.artifact import read_manifest
from mobile_seg.converters.converted import Converted
from mobile_seg.converters.halves import SMALL, halved
from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import bare, complete
from mobile_seg.data.description import load_dataset
from mobile_seg.data.readers import read_pair
from mobile_seg.files import write_json
from mobile_seg.keras_file import installed_versions
from mobile_seg.verify.compare import compare_all
from mobile_seg.verify.keras_runner import KerasRunner, load_keras
from mobile_seg.verify.tflite_runner import TFLiteRunner

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "half_weights.json"
RESULTS = ROOT / "docs" / "results.md"
MODEL = ROOT / "runs" / "camvid_s49_minus" / "model_float.keras"
KEPT = (0, 256, 1024, 4096, 16384)


def main() -> int:
    """Measure unless only rendering is asked for, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(ROOT / "benchmarks" / "camvid.yaml"))
    parser.add_argument("--render", action="store_true", help="render from the record")
    options = parser.parse_args()
    if not options.render:
        write_json(RECORD, measured(options.data))
    rewrite(RESULTS, "halves", section(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measured(data: str) -> dict[str, Any]:
    """A row per threshold."""
    dataset, model, manifest = load_dataset(data), load_keras(MODEL), read_manifest(MODEL)
    whole = bare(model, options=ExportOptions(precision="float32"), integer_graph=False)
    form, files = ExportOptions(precision="float16"), dict[str, Converted]()
    for kept in KEPT:
        made = type(whole)(halved(whole.content, small=kept), whole.conversions)
        files[str(kept)] = complete(made, options=form, manifest=manifest)
    runners = [TFLiteRunner(one.content, manifest=one.manifest) for one in files.values()]
    images = [read_pair(pair, dataset)[0] for pair in dataset.val]
    found = compare_all(KerasRunner(model, manifest=manifest), runners, images)
    return {
        "model": model.name,
        "images": len(images),
        "float32_bytes": len(whole.content),
        "versions": installed_versions(),
        "rows": [
            {"kept": int(kept), "bytes": len(made.content), "argmax": one.argmax, "psnr_db": one.psnr_db}
            for (kept, made), one in zip(files.items(), found, strict=True)
        ],
    }


def section(record: dict[str, Any]) -> str:
    """What docs/results.md says of it."""
    lines = ["| float32 up to | MB | pixels that part | PSNR of the logits |", "|---|---|---|---|"]
    for row in record["rows"]:
        mark = " (what `export` does)" if row["kept"] == SMALL else ""
        parted = f"{1 - row['argmax']:.3%}"
        lines.append(f"| {row['kept']} values{mark} | {row['bytes'] / 1e6:.2f} | {parted} | {row['psnr_db']:.1f} dB |")
    table = "\n".join(lines)
    return f"""## Which weights are stored as float16

```sh
python benchmarks/half_weights.py
```

`{record["model"]}`, trained on CamVid, against its Keras model on {record["images"]} images; the float32 file has
{record["float32_bytes"] / 1e6:.2f} MB. Rounding the few weights of the first, narrow layers does most of the harm:
every later layer passes it on.

{table}"""


if __name__ == "__main__":
    sys.exit(main())
