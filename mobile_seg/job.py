"""The main job: from labelled images to a verified, measured int8 model and its report."""

import dataclasses
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobile_seg import api
from mobile_seg.converters.options import ExportOptions
from mobile_seg.data.description import load_dataset
from mobile_seg.errors import UsageError
from mobile_seg.files import write_json, write_text
from mobile_seg.measurements import Measurements
from mobile_seg.models.registry import find
from mobile_seg.phases import FLOAT_RECIPE, QAT_RECIPE, Progress
from mobile_seg.report.results import Results
from mobile_seg.training.recipe import Recipe


@dataclass(frozen=True)
class JobConfig:
    """One run. `folder/name` receives everything; `options` goes to `build`; sizes are (height, width)."""

    data: str
    model: str
    input_size: tuple[int, int]
    name: str
    folder: str = "runs"
    float_recipe: Recipe = FLOAT_RECIPE
    qat_recipe: Recipe = QAT_RECIPE
    options: dict[str, Any] = field(default_factory=dict)
    exports: tuple[str, ...] = ("float32", "float16", "int8")
    output: str = "logits"
    io: str = "uint8"
    threads: tuple[int, ...] = (1, 2)
    evaluate_every: int = 500

    def __post_init__(self) -> None:
        find(self.model).check_input_size(self.input_size)
        if "int8" not in self.exports:
            raise UsageError(f"exports={self.exports} has no int8, which is what a run is for; add it.")
        for precision in self.exports:
            ExportOptions(precision=precision, output=self.output, io=self.io)


@dataclass(frozen=True)
class Outcome:
    """Where a run left its results."""

    folder: Path
    report: Path
    results_path: Path
    results: Results


def run(config: JobConfig, *, command: str, resume: bool = False, progress: Progress | None = None) -> Outcome:
    """Train, quantize, export, verify, evaluate, profile and report.

    `command` is what the report says made it. With `resume` the checkpoints of the same settings go on.

    Raises:
        MobileSegError: of the step that failed; what was finished before stays in the folder.
    """
    folder = Path(config.folder) / config.name
    if not resume and any(folder.glob("*.checkpoint.npz")):
        raise UsageError(f"{folder} holds a run already; add --resume to go on with it, or choose another --name.")
    dataset = load_dataset(config.data)
    write_json(folder / "config.json", dataclasses.asdict(config) | {"command": command})
    float_model = api.train(
        config.data,
        model=config.model,
        input_size=config.input_size,
        folder=folder,
        recipe=config.float_recipe,
        options=config.options,
        evaluate_every=config.evaluate_every,
        resume=resume,
        progress=progress,
    )
    qat_model = api.quantize(
        float_model,
        data=config.data,
        folder=folder,
        recipe=config.qat_recipe,
        evaluate_every=config.evaluate_every,
        resume=resume,
        progress=progress,
    )
    started = time.perf_counter()
    exported = {
        file.manifest.precision: file
        for model, precisions in (
            (float_model, [precision for precision in config.exports if precision != "int8"]),
            (qat_model, ["int8"]),
        )
        if precisions
        for file in api.export_all(
            model,
            data=config.data,
            folder=folder / "artifacts",
            precision=precisions,
            output=(config.output,),
            io=(config.io,),
            progress=progress,
        ).files
    }
    exported = {precision: exported[precision] for precision in config.exports}
    seconds = time.perf_counter() - started
    measured = Measurements(config, dataset, folder, float_model, qat_model, exported, progress)
    results = measured.results(command=command, export_seconds=seconds)
    results_path = results.write(folder / "results.json")
    report = write_text(folder / "report.html", measured.report(results))
    return Outcome(folder, report, results_path, results)


def quickstart_config(folder: str | os.PathLike[str]) -> JobConfig:
    """A run of minutes on the built-in toy dataset, which is drawn into `folder/toy` if it is not there."""
    from mobile_seg.data.toy import write_toy_dataset

    root = Path(folder)
    data = root / "toy" / "toy.yaml"
    if not data.is_file():
        write_toy_dataset(root / "toy", train=64, val=16)
    return JobConfig(
        data=str(data),
        model="mobile_spinenet_s49_minus",
        input_size=(96, 128),
        name="quickstart",
        folder=str(root),
        float_recipe=Recipe(steps=160, batch=16, learning_rate=0.2),
        qat_recipe=Recipe(steps=20, batch=16, learning_rate=0.01),
        options={"aspp_rates": (2, 4, 6), "bn_momentum": 0.9},
        exports=("float32", "int8"),
        evaluate_every=80,
    )
