"""The main job: from labelled images to a verified, measured int8 model and its report."""

import dataclasses
import datetime
import functools
import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg import api
from mobile_seg.api import Exported, Progress
from mobile_seg.data.description import Dataset, load_dataset
from mobile_seg.errors import UsageError
from mobile_seg.files import write_json, write_text
from mobile_seg.keras_file import installed_versions
from mobile_seg.report.results import ArtifactResult, Results
from mobile_seg.training.recipe import Recipe

if TYPE_CHECKING:
    from mobile_seg.verify.runners import Runner

EXAMPLES = 6
"""Validation images shown in the report."""

PROFILE_IMAGES = 4


@dataclass(frozen=True)
class JobConfig:
    """One run. `folder/name` receives everything; `options` goes to `build`; sizes are (height, width)."""

    data: str
    model: str
    input_size: tuple[int, int]
    name: str
    folder: str = "runs"
    float_recipe: Recipe = api.FLOAT_RECIPE
    qat_recipe: Recipe = api.QAT_RECIPE
    options: dict[str, Any] = field(default_factory=dict)
    exports: tuple[str, ...] = ("float32", "float16", "int8")
    output: str = "logits"
    io: str = "uint8"
    threads: tuple[int, ...] = (1, 2)
    evaluate_every: int = 500

    def __post_init__(self) -> None:
        if "int8" not in self.exports:
            raise UsageError(f"exports={self.exports} has no int8, which is what a run is for; add it.")


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
    from mobile_seg.data.readers import check_dataset

    folder = Path(config.folder) / config.name
    if not resume and any(folder.glob("*.checkpoint.npz")):
        raise UsageError(f"{folder} holds a run already; add --resume to go on with it, or choose another --name.")
    dataset = load_dataset(config.data)
    check_dataset(dataset, progress=_told(progress, "checking the dataset"))
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
        precision: api.export(
            qat_model if precision == "int8" else float_model,
            data=config.data,
            folder=folder / "artifacts",
            precision=precision,
            output=config.output,
            io=config.io,
            progress=progress,
        )
        for precision in config.exports
    }
    seconds = time.perf_counter() - started
    measured = _Measurements(config, dataset, folder, float_model, qat_model, exported, progress)
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


class _Measurements:
    """Everything a report says of a run, measured on the files it left."""

    def __init__(
        self,
        config: JobConfig,
        dataset: Dataset,
        folder: Path,
        float_model: Path,
        qat_model: Path,
        exported: dict[str, Exported],
        progress: Progress | None,
    ) -> None:
        self.config, self.dataset, self.folder, self.progress = config, dataset, folder, progress
        self.float_model, self.qat_model, self.exported = float_model, qat_model, exported

    @functools.cached_property
    def float_runner(self) -> "Runner":
        """The float model, opened once: Keras takes seconds to compile it."""
        from mobile_seg.verify.runners import open_artifact

        return open_artifact(self.float_model)

    def results(self, *, command: str, export_seconds: float) -> Results:
        """Measure and gather."""
        started = time.perf_counter()
        scores = {
            "float": api.evaluate(self.float_runner, data=self.config.data, progress=self.progress),
            "qat": api.evaluate(self.qat_model, data=self.config.data, progress=self.progress),
        }
        by_precision = {
            precision: api.evaluate(artifact.path, data=self.config.data, progress=self.progress)
            for precision, artifact in self.exported.items()
        }
        scores["int8"] = by_precision["int8"]
        int8_vs_float = self._int8_against_float()
        seconds = time.perf_counter() - started
        artifacts, profile = self._artifacts({name: score.miou for name, score in by_precision.items()})
        int8 = next(row for row in artifacts if row.precision == "int8")
        history = {phase: _history(self.folder, phase) for phase in ("float", "qat")}
        cost = self._cost()
        agreement = self.exported["int8"].agreement
        return Results(
            model=self.config.model,
            data=self.dataset.name,
            miou={phase: score.miou for phase, score in scores.items()},
            agreement={"int8_vs_qat": agreement.argmax, "int8_vs_float": int8_vs_float},
            latency_ms=profile.latency_ms,
            partitions=int8.partitions,
            size_bytes=int8.size_bytes,
            float_ops=int8.float_ops,
            run=self.config.name,
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            command=command,
            wall_seconds={
                "float_training": history["float"][-1]["seconds"],
                "qat_training": history["qat"][-1]["seconds"],
                "export": export_seconds,
                "verify": seconds,
            },
            input_size=self.config.input_size,
            output_stride=self.config.options.get("output_stride", 8),
            classes=self.dataset.classes,
            palette=self.dataset.palette,
            per_class_iou={phase: list(score.per_class) for phase, score in scores.items()},
            psnr_db=agreement.psnr_db,  # type: ignore[arg-type]  # Results refuses None
            artifacts=artifacts,
            params=cost.params,
            macs=cost.macs,
            peak_memory_bytes=profile.peak_memory_bytes,
            latency_p95_ms=profile.latency_p95_ms,
            history={phase: [_curve_row(row) for row in rows] for phase, rows in history.items()},
            versions=installed_versions(),
            host={"cpu": profile.cpu, "cores": profile.cores, "os": platform.platform()},
            recipe={
                "float": dataclasses.asdict(self.config.float_recipe),
                "qat": dataclasses.asdict(self.config.qat_recipe),
                "options": self.config.options,
            },
        )

    def report(self, results: Results) -> str:
        """The page, with predictions of the float model and the int8 file on validation images."""
        from mobile_seg.data.readers import read_pair
        from mobile_seg.report.page import Example, render

        stride = max(1, len(self.dataset.val) // EXAMPLES)
        chosen = self.dataset.val[::stride][:EXAMPLES]
        read = [read_pair(pair, self.dataset) for pair in chosen]
        images = [image for image, _ in read]
        floats = api.predict(self.float_runner, images)
        int8s = api.predict(self.exported["int8"].path, images)
        examples = [
            Example(pair.image.name, image, truth, float_labels, int8_labels)
            for pair, (image, truth), float_labels, int8_labels in zip(chosen, read, floats, int8s, strict=True)
        ]
        return render(results, examples)

    def _int8_against_float(self) -> float:
        from mobile_seg.verify.compare import compare
        from mobile_seg.verify.runners import open_artifact

        total = len(self.dataset.val)
        tell = _told(self.progress, "comparing int8 with float")
        return compare(
            self.float_runner,
            open_artifact(self.exported["int8"].path),
            (image for image, _ in api.pairs(self.dataset, "val")),
            progress=None if tell is None else lambda done: tell(done, total),
        ).argmax

    def _artifacts(self, miou: dict[str, float]) -> tuple[tuple[ArtifactResult, ...], Any]:
        """A row per artifact, and the profile of the int8 one."""
        from mobile_seg.profiling.static import inspect_tflite

        images = [image for _, (image, _) in zip(range(PROFILE_IMAGES), api.pairs(self.dataset, "val"), strict=False)]
        rows, profiles = [], {}
        for number, (precision, artifact) in enumerate(self.exported.items()):
            if self.progress:
                self.progress(number, len(self.exported), "profiling on this host")
            facts = inspect_tflite(artifact.path)
            profile = api.profile(artifact.path, images=images, threads=self.config.threads)
            profiles[precision] = profile
            rows.append(
                ArtifactResult(
                    file=artifact.path.name,
                    precision=precision,
                    size_bytes=facts.size_bytes,
                    partitions=facts.partitions,
                    float_ops=facts.float_ops,
                    sha256=profile.sha256,
                    miou=miou[precision],
                    agreement=artifact.agreement.argmax,
                    latency_ms=profile.latency_ms,
                    latency_p95_ms=profile.latency_p95_ms,
                )
            )
        if self.progress:
            self.progress(len(self.exported), len(self.exported), "profiling on this host")
        return tuple(rows), profiles["int8"]

    def _cost(self) -> Any:
        from mobile_seg.models.cost import count
        from mobile_seg.verify.keras_runner import load_keras

        return count(load_keras(self.float_model))


def _history(folder: Path, phase: str) -> list[dict[str, float]]:
    import json

    rows: list[dict[str, float]] = json.loads((folder / f"{phase}.history.json").read_text(encoding="utf-8"))
    return rows


def _curve_row(row: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key != "seconds"}


def _told(progress: Progress | None, text: str) -> Any:
    """`progress` with its text filled in: what takes (done, total)."""
    return None if progress is None else lambda done, total: progress(done, total, text)
