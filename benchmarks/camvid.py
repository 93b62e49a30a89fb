"""The main job on CamVid: trains, quantizes, exports, verifies and profiles, then rewrites docs/results.md.

    .venv/bin/python benchmarks/camvid.py            # runs (or resumes) the job, then renders
    .venv/bin/python benchmarks/camvid.py --render   # renders from the results.json of a finished run

CamVid (SegNet's 480x360 version) is expected where `benchmarks/camvid.yaml` says. Training on 2 cores
takes about an hour; an interrupted run goes on when started again.
"""

import argparse
import json
import sys
from pathlib import Path

from marked import rewrite

from mobile_seg.cli.main import main as mobile_seg
from mobile_seg.files import write_text
from mobile_seg.report.results import Results

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs"
NAME = "camvid_s49_minus"
ARGUMENTS = (
    "run --data benchmarks/camvid.yaml --model mobile_spinenet_s49_minus --input 256x352 --output-stride 8 "
    "--aspp-rates 6,12,18 --optimizer adamw --clip-norm 1 --steps 1000 --qat-steps 100 --qat-lr 0.001 "
    "--evaluate-every 50 "
    f"--name {NAME}"
)
ELSEWHERE = "<!-- zoo:start -->"
"""Where the sections of other scripts begin in docs/results.md."""


def main() -> int:
    """Run the job unless only rendering is asked for, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--render", action="store_true", help="render from a finished run")
    if not parser.parse_args().render:
        folder = RUNS / NAME
        resume = ["--resume"] if any(folder.glob("*.checkpoint.npz")) else []
        code = mobile_seg([*ARGUMENTS.split(), "--runs-dir", str(RUNS), *resume])
        if code:
            return code
    results = Results.read(RUNS / NAME / "results.json")
    write_text(ROOT / "docs" / "results.md", page(results))
    rewrite(ROOT / "README.md", "results", accuracy(results))
    return 0


def page(results: Results) -> str:
    """docs/results.md."""
    hours = {name: seconds / 60 for name, seconds in results.wall_seconds.items()}
    float_recipe, qat_recipe = results.recipe["float"], results.recipe["qat"]
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return f"""# Results

Every number on this page was written by `benchmarks/camvid.py` from the run's `results.json`, or by the script that
its section names from that script's record in `docs/records`.

## Mobile SpineNet-S49- on CamVid (11 classes), trained from random weights

```sh
mobile-seg {ARGUMENTS}
```

{accuracy(results)}

Images of the sequence 0001TP (62, `val`), none of which was trained on; predictions scaled to 480x360. The
network is {results.params / 1e6:.2f} M parameters and {results.macs / 1e9:.2f} G multiply-adds at
{results.input_size[0]}x{results.input_size[1]}. No pretraining: {float_recipe["steps"]} steps of
{float_recipe["batch"]} images, then {qat_recipe["steps"]} quantization-aware steps. This is a measure of the
chain (what does int8 cost, does the file follow the model), not of how good the network can get.
[How this run came about](records/camvid_run.md).

Agreement of the int8 file, pixel by pixel at the output stride: {results.agreement["int8_vs_qat"]:.2%} with the
quantization-aware model it was made from, {results.agreement["int8_vs_float"]:.2%} with the float model.

### IoU per class

{_per_class(results)}

### Latency of the artifacts on the host

{_latency(results)}

![The report's accuracy, latency and roofline sections](images/camvid_report.png)

Median milliseconds; 30 runs after 5 warm-up runs per process, two fresh processes per thread count. Measured on
{results.host["cpu"]} ({results.host["cores"]} cores), LiteRT with XNNPACK. Host latency is not phone latency.

### Wall time

Float training {hours["float_training"]:.0f} min, quantization-aware training {hours["qat_training"]:.0f} min,
export with verification {hours["export"]:.1f} min, evaluation {hours["verify"]:.1f} min, on the host above while
it was also used for other work. {versions}.

On one thread int8 inference takes {_ratio(results):.2f} times as long as float32. An x86 CPU without int8 dot products
gains no time from int8; what it gains is the smaller file and a graph that integer-only accelerators take.

{_data_wait()}

{_kept_sections()}
"""


def _kept_sections() -> str:
    """What other scripts wrote into the page, as it stands there."""
    _, start, rest = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").partition(ELSEWHERE)
    return f"{start}{rest.rstrip()}"


def _data_wait() -> str:
    """What `benchmarks/data_wait.py` measured, from the record kept of it."""
    record = json.loads((ROOT / "docs" / "records" / "data_wait.json").read_text(encoding="utf-8"))
    return f"""## Waiting for data

```sh
python benchmarks/data_wait.py --data benchmarks/camvid.yaml --input 256x352 --batch 8 --steps {record["steps"]}
```

A training step of {record["model"]} took {record["step_seconds_median"]:.2f} s (median of {record["steps"]}, batch
{record["batch"]}, {record["device"]}, {record["cores"]} cores) and spent {record["share_waited"]:.2%} of its time
waiting for its batch; {record["data_threads"]} data threads. The record is `docs/records/data_wait.json`."""


def accuracy(results: Results) -> str:
    """The headline table: one row per artifact."""
    head = "| artifact | mIoU | against float | size | float operations | partitions | pixels as its Keras model |"
    rows = [head, "|---|---|---|---|---|---|---|"]
    for row in results.artifacts:
        if row.miou is None or row.agreement is None:
            raise SystemExit(f"{row.file} was not evaluated")
        drop = 100 * (row.miou - results.miou["float"])
        rows.append(
            f"| `{row.file}` | {row.miou:.2%} | {drop:+.2f} points | {row.size_bytes / 1e6:.2f} MB "
            f"| {row.float_ops} | {row.partitions} | {row.agreement:.2%} |"
        )
    rows.append("")
    rows.append(
        f"The Keras models score {results.miou['float']:.2%} (float) and {results.miou['qat']:.2%} (after "
        "quantization-aware training)."
    )
    return "\n".join(rows)


def _ratio(results: Results) -> float:
    times = {row.precision: (row.latency_ms or {})["1"]["infer"] for row in results.artifacts}
    return times["int8"] / times["float32"]


def _per_class(results: Results) -> str:
    rows = ["| class | float | QAT | int8 file |", "|---|---|---|---|"]
    for index, name in enumerate(results.classes):
        cells = [results.per_class_iou[phase][index] for phase in ("float", "qat", "int8")]
        rows.append(f"| {name} | " + " | ".join("–" if cell is None else f"{cell:.1%}" for cell in cells) + " |")
    return "\n".join(rows)


def _latency(results: Results) -> str:
    rows = ["| artifact | threads | pre-processing | inference | post-processing |", "|---|---|---|---|---|"]
    for row in results.artifacts:
        for threads, stages in (row.latency_ms or {}).items():
            cells = " | ".join(f"{stages[stage]:.1f}" for stage in ("pre", "infer", "post"))
            rows.append(f"| {row.precision} | {threads} | {cells} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
