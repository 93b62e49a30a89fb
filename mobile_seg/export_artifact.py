"""One artifact of an export: made, verified, published."""

import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg.errors import MobileSegError, ParityError
from mobile_seg.export_source import Source
from mobile_seg.files import publish, write_bytes, write_text
from mobile_seg.manifest import AT_INPUT_SIZE, Manifest
from mobile_seg.phases import Progress

if TYPE_CHECKING:
    from mobile_seg.converters.builder import Conversion
    from mobile_seg.converters.converted import Converted
    from mobile_seg.converters.options import ExportOptions
    from mobile_seg.targeting import Fit
    from mobile_seg.verify.ahead import Ahead
    from mobile_seg.verify.compare import Agreement

DIAGNOSED = 4
"""Images on which a mistake is looked for."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """An artifact on disk, how closely it follows its Keras model, and every conversion between integers inside.

    `seconds`: what converting it took, and verifying it (its share of the reference's inference included). `fit`: what
    was rewritten for its target, and what the target makes of the file; None without one. On macOS a Core ML package is
    run by our evaluator and by Core ML; `agreement` is the lesser of the two.
    """

    path: Path
    manifest: Manifest
    agreement: "Agreement"
    conversions: "tuple[Conversion, ...]" = ()
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    fit: "Fit | None" = None


class Artifact:
    """One artifact on its way: converted and staged, then verified, then published."""

    def __init__(
        self, source: Source, form: "ExportOptions", stage: Path, ahead: "Ahead | None", progress: Progress | None
    ) -> None:
        from mobile_seg.converters.options import SUFFIXES
        from mobile_seg.verify.runners import open_artifact

        self.form, self.source = form, source
        self.scheme, self.full = source.scheme(form.precision), form.output in AT_INPUT_SIZE
        parts = (
            self.scheme or form.precision,
            "" if form.output == "logits" else form.output,
            "" if form.io == "uint8" else f"{form.io}-io",
            "" if form.layout == "nhwc" else form.layout,
            form.delegate or "",
        )
        self.name = "_".join([source.manifest.model, *filter(None, parts)]) + SUFFIXES[form.target]
        if progress:
            progress(0, 1, f"converting {self.name}")
        started = time.perf_counter()
        self.fit: Fit | None = None
        self.converted = self._converted()
        self.staged = _write(stage / self.name, self.converted)
        manifest = self.converted.manifest
        self.runners = [open_artifact(self.staged) if ahead is None else ahead.runner(self.staged, manifest)]
        if form.target == "coreml" and sys.platform == "darwin":
            from mobile_seg.verify.coreml.runner import MacRunner

            self.runners.append(MacRunner(self.staged, manifest=manifest))
        self.seconds = {"convert": time.perf_counter() - started, "verify": 0.0}
        self.agreements: list[Agreement] = []
        self.reference: Any = None

    @property
    def agreement(self) -> "Agreement":
        """The least of those with the reference, one for each runner."""
        return min(self.agreements, key=lambda one: one.argmax)

    def _converted(self) -> "Converted":
        form, source = self.form, self.source
        known: dict[str, Any] = {"options": form, "manifest": source.described(self.full)}
        if form.target == "coreml":
            from mobile_seg.converters.coreml.writer import convert_coreml

            half = self.scheme is None and form.precision == "float16"
            model = source.traced(self.scheme, self.full, form.output, half=half)
            return convert_coreml(model, **known, integer_graph=self.scheme is not None)
        if form.target == "onnx":
            from mobile_seg.converters.onnx.writer import convert_onnx

            graph = source.graph(self.scheme, self.full, "tflite" if self.scheme else "onnx")
            return convert_onnx(graph, **known, integer_graph=self.scheme is not None)
        from mobile_seg.converters.tflite import ConvertedGraph, complete
        from mobile_seg.targeting import fit

        made = source.flat(self.scheme, self.full, dataclasses.replace(form, delegate=None))
        if form.delegate is not None:
            content, self.fit = fit(made.content, target=form.delegate, name=self.name)
            made = ConvertedGraph(content, (*made.conversions, *self.fit.conversions))
        return complete(made, **known)

    def failure(self) -> str | None:
        """What the gate says against it."""
        from mobile_seg.verify import gate

        for agreement, name in zip(self.agreements, (self.name, f"{self.name} in Core ML itself"), strict=False):
            try:
                gate.check(agreement, precision=self.form.precision, target=self.form.target, artifact=name)
            except ParityError as error:
                return str(error)
        return None

    def diagnosis(self) -> str:
        """Which mistake that people really make explains it, if one does."""
        from mobile_seg.verify.diagnosis.diagnose import diagnose, summary

        try:
            return f"Diagnosis: {summary(diagnose(self.reference, self.runners[0], self.source.images(DIAGNOSED)))}."
        except MobileSegError as error:  # the failure itself is what must be said
            return f"Not diagnosed: {error}."

    def published(self, folder: Path) -> Exported:
        """Move it to its place, its manifest beside it."""
        path = publish(self.staged, folder / self.name)
        write_text(path.with_suffix(".json"), self.converted.manifest.to_json())
        converted = self.converted
        return Exported(path, converted.manifest, self.agreement, converted.conversions, self.seconds, self.fit)


def _write(path: Path, converted: "Converted") -> Path:
    if isinstance(converted.content, bytes):
        return write_bytes(path, converted.content)
    for member, content in converted.content.items():
        write_bytes(path / member, content)
    return path
