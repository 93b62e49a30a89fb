"""How XNNPACK parts every network's file, and at which operations: writes docs/partitions.md.

    .venv/bin/python benchmarks/partitions.py                    # converts every network, in about half an hour
    .venv/bin/python benchmarks/partitions.py --only NAME,NAME   # these networks
    .venv/bin/python benchmarks/partitions.py --render           # from the record of the last runs

Each network under its first head, as a float32 and as an int8 file, at a small input: how a graph is parted
depends on its operations, not on their size. Weights are random. An interrupted run goes on where it stopped. The
largest network takes about 20 GB of memory.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.cli.terminal import Progress
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import UsageError
from mobile_seg.files import write_json, write_text
from mobile_seg.keras_file import installed_versions
from mobile_seg.models.entry import Entry
from mobile_seg.models.registry import ENTRIES, build
from mobile_seg.models.stand_in import as_if_trained
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.quantization import quantize
from mobile_seg.tflite import to_tflite

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "records" / "partitions.json"
SIZE, CLASSES = (96, 128), 5
ORDER = [entry.name for entry in ENTRIES]


def main() -> int:
    """Convert and partition unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=lambda text: text.split(","), help="networks, separated by commas")
    parser.add_argument("--anew", action="store_true", help="forget what is recorded of these networks")
    parser.add_argument("--render", action="store_true", help="render from the record")
    options = parser.parse_args()
    record: dict[str, Any] = {"networks": {}}
    if RECORD.is_file():
        record = json.loads(RECORD.read_text(encoding="utf-8"))
    if not options.render:
        chosen = [entry for entry in ENTRIES if not options.only or entry.name in options.only]
        with Progress() as progress:
            for number, entry in enumerate(chosen):
                progress(number, len(chosen), entry.name)
                if options.anew or entry.name not in record["networks"]:
                    try:
                        record["networks"][entry.name] = measure(entry)
                    except UsageError as error:  # a network that no .tflite file can hold
                        record["networks"][entry.name] = {"head": entry.heads[0], "refused": str(error)}
                    write_json(RECORD, record | {"input": list(SIZE), "versions": installed_versions()})
            progress(len(chosen), len(chosen), "partitioned")
    write_text(ROOT / "docs" / "partitions.md", page(json.loads(RECORD.read_text(encoding="utf-8"))))
    return 0


def measure(entry: Entry) -> dict[str, Any]:
    """Both files of a network."""
    noise = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3)).astype(np.float32)
    model = as_if_trained(build(entry.name, input_size=SIZE, classes=CLASSES), noise)
    contents = {
        "float32": convert_graph(model, precision="float32", io="float").content,
        "int8": to_tflite(quantize(model, [noise]), io="uint8"),
    }
    found: dict[str, Any] = {"head": entry.heads[0]}
    for precision, content in contents.items():
        facts = inspect_tflite(content)
        found[precision] = {
            "operations": sum(count for _, count in facts.ops),
            "partitions": facts.partitions,
            "left": dict(facts.left_ops),
            "float_operations": facts.float_ops,
        }
    return found


def page(record: dict[str, Any]) -> str:
    """docs/partitions.md."""
    height, width = record["input"]
    lines = ["| network | head | type | operations | partitions | left to the plain kernels |", "|---" * 6 + "|"]
    for name, found in sorted(record["networks"].items(), key=lambda item: ORDER.index(item[0])):
        if "refused" in found:
            lines.append(f"| `{name}` | {found['head']} | – | – | – | not exported: {found['refused']} |")
            continue
        for precision in ("float32", "int8"):
            row = found[precision]
            left = ", ".join(f"{count}x {operation}" for operation, count in row["left"].items()) or "nothing"
            cells = (f"`{name}`", found["head"], precision, row["operations"], row["partitions"], left)
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    table = "\n".join(lines)
    floats = sum(found["int8"]["float_operations"] for found in record["networks"].values() if "int8" in found)
    missing = ", ".join(f"`{name}`" for name in ORDER if name not in record["networks"])
    missing = f"Not measured yet: {missing}.\n\n" if missing else ""
    return f"""# How XNNPACK parts each network

Written by `benchmarks/partitions.py`; the record is `docs/records/partitions.json`.

One partition is best: the whole graph runs inside the delegate. Each operation in the last column stays outside and
is where the graph is parted. At {height}x{width}; larger inputs have the same operations. Nearest resizing copies
pixels, in integers exactly; XNNPACK has no kernel for it, GPU delegates and NPUs do. The int8 files hold no
operation on floats ({floats} in all networks together) and one QUANTIZE, which moves the camera's unsigned bytes.

{table}

{missing}{", ".join(f"{name} {version}" for name, version in record["versions"].items())}.
"""


if __name__ == "__main__":
    sys.exit(main())
