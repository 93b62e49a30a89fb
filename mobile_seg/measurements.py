"""Everything a report says of a run, measured on the files the run left."""

import dataclasses
import datetime
import functools
import json
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg import api
from mobile_seg.api import Exported
from mobile_seg.data.description import Dataset, spread
from mobile_seg.files import write_json
from mobile_seg.keras_file import installed_versions
from mobile_seg.phases import Progress
from mobile_seg.quantizing import SENSITIVITY
from mobile_seg.report.results import ArtifactResult, Results

if TYPE_CHECKING:
    from mobile_seg.job import JobConfig
    from mobile_seg.models.cost import Cost
    from mobile_seg.profiling.records import HostProfile
    from mobile_seg.verify.runners import Runner

EXAMPLES = 6
"""Validation images shown in the report."""

OPERATIONS = "operations.json"
"""What each operation of the int8 file takes on this machine, beside its limit."""

PROFILE_IMAGES = 4
"""Validation images that latency is measured on, in turn."""


class Measurements:
    """What a finished run is measured by; `results` first, then `report`."""

    def __init__(
        self,
        config: "JobConfig",
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
        write_json(self.folder / OPERATIONS, self._operations())
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
            psnr_db=agreement.to_dict()["psnr_db"],
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
        """The page, with predictions of the float model and the int8 file on validation images.

        A ranking of the layers is shown where one stands in the folder.
        """
        from mobile_seg.data.readers import read_pair
        from mobile_seg.profiling.delegates.check import check_file
        from mobile_seg.profiling.operations.roofline import Roofline
        from mobile_seg.report.page import Example, render
        from mobile_seg.report.sensitivity import read

        chosen = spread(self.dataset.val, EXAMPLES)
        pairs = [read_pair(pair, self.dataset) for pair in chosen]
        images = [image for image, _ in pairs]
        floats = api.predict(self.float_runner, images)
        int8s = api.predict(self.exported["int8"].path, images)
        examples = [
            Example(pair.image.name, image, truth, float_labels, int8_labels)
            for pair, (image, truth), float_labels, int8_labels in zip(chosen, pairs, floats, int8s, strict=True)
        ]
        return render(
            results,
            examples,
            layers=read(self.folder / SENSITIVITY),
            operations=Roofline.from_dict(json.loads((self.folder / OPERATIONS).read_text(encoding="utf-8"))),
            checked=check_file(self.exported["int8"].path),
        )

    def _int8_against_float(self) -> float:
        from mobile_seg.data.readers import read_split
        from mobile_seg.verify.compare import compare
        from mobile_seg.verify.runners import open_artifact

        total = len(self.dataset.val)
        tell = self.progress
        return compare(
            self.float_runner,
            open_artifact(self.exported["int8"].path),
            (image for image, _ in read_split(self.dataset, "val")),
            progress=None if tell is None else lambda done: tell(done, total, "comparing int8 with float"),
        ).argmax

    def _artifacts(self, miou: dict[str, float]) -> "tuple[tuple[ArtifactResult, ...], HostProfile]":
        """A row per artifact, and the profile of the int8 one."""
        from mobile_seg.data.readers import read_split
        from mobile_seg.profiling.static import inspect_tflite

        images = [image for _, (image, _) in zip(range(PROFILE_IMAGES), read_split(self.dataset, "val"), strict=False)]
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

    def _operations(self) -> dict[str, Any]:
        """What each operation of the int8 file takes, beside the limits of this machine."""
        from mobile_seg.profiling.operations.peaks import measure_peaks
        from mobile_seg.profiling.operations.profile import profile_operations
        from mobile_seg.profiling.operations.roofline import roofline

        threads = min(self.config.threads)
        taken = profile_operations(self.exported["int8"].path, threads=threads)
        return roofline(taken, measure_peaks(threads=threads)).to_dict()

    def _cost(self) -> "Cost":
        from mobile_seg.models.cost import count
        from mobile_seg.verify.keras_runner import load_keras

        return count(load_keras(self.float_model))


def _history(folder: Path, phase: str) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = json.loads((folder / f"{phase}.history.json").read_text(encoding="utf-8"))
    return rows


def _curve_row(row: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key != "seconds"}
