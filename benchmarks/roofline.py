"""How close inference comes to the limits of this machine, and which layers lose the rest: writes docs/roofline.md.

    .venv/bin/python benchmarks/roofline.py            # converts, measures, writes; a few minutes on a quiet machine
    .venv/bin/python benchmarks/roofline.py --render   # from the record of the last run

Mobile SpineNet-S49 with its first head, int8, 512x512, 21 classes, one thread; its weights are random, which costs the
same time as trained ones. The limits are measured before and after, the better ones count.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mobile_seg.cli.terminal import Progress
from mobile_seg.files import write_json, write_text
from mobile_seg.keras_file import installed_versions
from mobile_seg.models.registry import build
from mobile_seg.profiling.operations.peaks import Peaks, measure_peaks
from mobile_seg.profiling.operations.profile import profile_operations
from mobile_seg.profiling.operations.records import OperationProfile
from mobile_seg.profiling.operations.roofline import LimitedGroup, Roofline, roofline
from mobile_seg.quantization import quantize
from mobile_seg.tflite import to_tflite

ROOT = Path(__file__).resolve().parents[1]
RECORD, PAGE = ROOT / "docs" / "records" / "roofline.json", ROOT / "docs" / "roofline.md"
NETWORK, CLASSES = "mobile_spinenet_s49", 21
LISTED = 25


def main() -> int:
    """Measure unless only rendering is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(512, 512), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--render", action="store_true", help="render from the record")
    parser.add_argument("--record", type=Path, default=RECORD, help="another place for a trial (default: %(default)s)")
    parser.add_argument("--page", type=Path, default=PAGE, help="another place for a trial (default: %(default)s)")
    options = parser.parse_args()
    if not options.render:
        write_json(options.record, measure(options))
    write_text(options.page, page(json.loads(options.record.read_text(encoding="utf-8"))))
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The record: a roofline, and what it was measured on."""
    with Progress() as progress, tempfile.TemporaryDirectory(prefix="mobile-seg-roofline-") as folder:
        progress(0, 4, "converting")
        path = Path(folder) / f"{NETWORK}_int8.tflite"
        path.write_bytes(converted(options.size))
        progress(1, 4, "measuring limits")
        before = measure_peaks(threads=options.threads)
        progress(2, 4, "timing operations")
        profile = profile_operations(path, threads=options.threads, warmup=options.warm_up, runs=options.runs)
        progress(3, 4, "measuring limits")
        after = measure_peaks(threads=options.threads)
        progress(4, 4, "measured")
    found = roofline(dataclasses.replace(profile, path=path.name), better(before, after))
    return {"input": list(options.size), "classes": CLASSES, "versions": installed_versions(), **found.to_dict()}


def converted(size: Sequence[int]) -> bytes:
    """The int8 file of the network."""
    keras.utils.set_random_seed(0)
    model = build(NETWORK, input_size=(size[0], size[1]), classes=CLASSES)
    noise = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.float32)
    return to_tflite(quantize(model, [noise]))


def better(one: Peaks, other: Peaks) -> Peaks:
    """Of two measurements the higher limits, one by one."""
    return dataclasses.replace(
        one,
        gmacs=tuple(max(pair, key=lambda peak: peak[2]) for pair in zip(one.gmacs, other.gmacs, strict=True)),
        bandwidth=tuple(
            max(pair, key=lambda rate: rate[1]) for pair in zip(one.bandwidth, other.bandwidth, strict=True)
        ),
    )


def page(record: dict[str, Any]) -> str:
    """docs/roofline.md."""
    found = Roofline.from_dict(record)
    profile, peaks = found.profile, found.peaks
    height, width = record["input"]
    computed = ", ".join(f"{kind} {rate:.1f} ({which})" for kind, which, rate in peaks.gmacs)
    moved = ", ".join(f"{rate:.0f} at {size >> 10} kB" for size, rate in peaks.bandwidth)
    lost = [group for group in found.lost() if group.lost_ms > 0.0]
    rest = sum(group.lost_ms for group in lost[LISTED:])
    return f"""# How far from the machine's limit

Written by `benchmarks/roofline.py`; the record is `docs/records/roofline.json`.

`{NETWORK}`, int8, {height}x{width}, {record["classes"]} classes, {peaks.threads} thread{"s" * (peaks.threads > 1)}:
inference takes {found.inference_ms:.2f} ms, its operations at their limits would take {found.limit_ms:.2f} ms, so it
reaches **{found.share:.0%}** of the limit. The medians of the operations add up to {profile.sum_ms:.2f} ms; with the
profiler on, inference takes {profile.profiled_ms or 0.0:.2f} ms. {profile.runs} runs after {profile.warmup}, on
{profile.device}, {profile.runtime}. Host latency is not phone latency.{_doubt(profile)}

The limit of an operation is the longer of two times: its multiply-adds at the rate of the best single convolution of
its type, and its bytes (every tensor moved once) at the bandwidth for as many bytes. Measured before and after, through
the same runtime and with as many threads. Depthwise convolutions are held against the best dense one too, though no
depthwise kernel can use a number as often; and no limit counts what it takes to bring a sum back to 8 bits, which is
most of the time where few channels go into many (the `expand` layers at high resolution).

G multiply-adds per second: {computed}. GB per second: {moved}.

## By part

{_groups("part", found.by("part"))}

## By block

{_groups("block", found.by("block"))}

## What is lost, by layer

The {min(LISTED, len(lost))} layers that lose most, of {sum(group.lost_ms for group in lost):.2f} ms in all; the others
lose {rest:.2f} ms together.

{_lost(found, lost[:LISTED])}

{", ".join(f"{name} {version}" for name, version in record["versions"].items())}.
"""


def _groups(key: str, groups: Iterable[LimitedGroup]) -> str:
    head = (key, "operations", "ms", "limit, ms", "reached", "M multiply-adds", "MB moved")
    rows = [
        (
            group.name,
            str(group.operations),
            f"{group.milliseconds:.3f}",
            f"{group.limit_ms:.3f}",
            _share(group.share),
            f"{group.macs / 1e6:.1f}",
            f"{group.bytes / 1e6:.2f}",
        )
        for group in groups
    ]
    return _table(head, rows)


def _lost(found: Roofline, groups: Iterable[LimitedGroup]) -> str:
    by_layer = {one.operation.layer: one for one in found.operations}
    rows = []
    for group in groups:
        one = by_layer[group.name]
        ran = ", ".join(one.operation.kernels) if one.operation.delegated else "LiteRT's own kernel"
        times = (f"{group.lost_ms:.3f}", f"{group.milliseconds:.3f}", f"{group.limit_ms:.3f}", _share(group.share))
        rows.append((f"`{group.name}`", *times, one.bound, one.operation.operation, ran))
    return _table(("layer", "lost, ms", "ms", "limit, ms", "reached", "bound by", "operation", "ran as"), rows)


def _doubt(profile: OperationProfile) -> str:
    return "" if profile.adds_up else "\n\n**These times do not add up: the machine was busy. Measure again.**"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
