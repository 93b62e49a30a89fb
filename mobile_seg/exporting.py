"""Exporting: every artifact that is asked for, each verified against the model it was made from."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg.data.description import load_dataset
from mobile_seg.errors import ParityError, UsageError
from mobile_seg.export_artifact import Artifact, Exported
from mobile_seg.export_source import Source
from mobile_seg.files import staging
from mobile_seg.phases import PathLike, Progress

if TYPE_CHECKING:
    from mobile_seg.converters.options import ExportOptions
    from mobile_seg.verify.ahead import Ahead

AHEAD_PIXELS, AHEAD_FILES = 1 << 21, 6
"""From so many pixels to verify on, or artifacts, these are run in a process beside: starting it costs a second or two.

It holds one at a time, where here all would be open.
"""

AHEAD_BYTES = 1 << 28
"""The most that is held of what they gave there; on images beyond, they are run when they are compared."""


@dataclasses.dataclass(frozen=True)
class Exports:
    """The artifacts, and why each other combination that was asked for is none."""

    files: tuple[Exported, ...]
    refused: tuple[str, ...]


def export(
    model: PathLike,
    *,
    data: PathLike,
    folder: PathLike,
    to: str = "tflite",
    precision: str | None = None,
    output: str = "logits",
    io: str = "uint8",
    layout: str = "nhwc",
    target: str | None = None,
    input_size: tuple[int, int] | None = None,
    images: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Export a `.keras` model to one artifact and verify it on the dataset's validation images.

    A quantized model has the precision of its scheme; None asks for that, and for int8 of a float model,
    which is quantized after training, calibrated on the dataset's training images, as for int16x8 and w8.
    `to`, `output`, `io` and `layout` are those of `converters.options.ExportOptions`. For a `target` (xnnpack, gpu,
    nnapi, edgetpu, ethos-u) what it refuses is written otherwise where no number changes. With `input_size` the
    network is built anew at that size, with the same weights. The file is loaded from disk and compared with the
    Keras model on `images` validation images, spread evenly (None: all). The manifest goes inside the artifact and
    beside it (`.json`). With `force` an artifact below the parity gate's floor is written all the same.

    Raises:
        UsageError: for options that do not fit the model, or that no runtime has.
        ParityError: if the artifact does not follow the model; then it is not written.
        MissingExtraError: if what writes or runs that format is not installed.
        ArtifactError, DatasetError, DiskError: as their names say.
    """
    (exported,) = export_all(
        model,
        data=data,
        folder=folder,
        to=(to,),
        precision=(precision,),
        output=(output,),
        io=(io,),
        layout=(layout,),
        target=(target,),
        input_size=input_size,
        images=images,
        force=force,
        progress=progress,
    ).files
    return exported


def export_all(
    model: PathLike,
    *,
    data: PathLike,
    folder: PathLike,
    to: Iterable[str] = ("tflite",),
    precision: Iterable[str | None] = (None,),
    output: Iterable[str] = ("logits",),
    io: Iterable[str] = ("uint8",),
    layout: Iterable[str] = ("nhwc",),
    target: Iterable[str | None] = (None,),
    input_size: tuple[int, int] | None = None,
    images: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Exports:
    """Export every combination of several forms that makes sense; see `export`.

    What the artifacts share is done once: loading, quantizing, the Keras model's own inference. Those that follow
    their model are written even where others do not.

    Raises:
        UsageError: if no combination makes sense, with every reason.
        ParityError: if an artifact does not follow its model; that one is not written.
        MissingExtraError, ArtifactError, DatasetError, DiskError: as their names say.
    """
    source = Source(model, load_dataset(data), input_size)
    precisions = [source.precision(one) for one in precision]
    forms, refused = _forms(precisions, to=to, output=output, io=io, layout=layout, delegate=target)
    if not forms:
        raise UsageError(" ".join(dict.fromkeys(refused)))
    with staging(folder) as stage, _beside(source, forms, images, stage) as ahead:
        # Those of one graph one after the other: what they share need not be kept for long.
        ordered = sorted(forms, key=lambda one: _kin(one, source.scheme(one.precision)))
        of_form = {form: Artifact(source, form, stage, ahead, progress) for form in ordered}
        made = [of_form[form] for form in forms]
        _verify(made, source, images, progress)
        failing = {} if force else {one: failure for one in made if (failure := one.failure())}
        said = [f"{failure}. {one.diagnosis()}" for one, failure in failing.items()]
        files = tuple(one.published(Path(folder)) for one in made if one not in failing)
    if said:
        raise ParityError(" ".join(said))
    return Exports(files, tuple(dict.fromkeys(refused)))


def _kin(form: "ExportOptions", scheme: str | None) -> tuple[object, ...]:
    """What forms made from one graph have in common; float16's weights are rounded in it."""
    return form.target, form.output, form.io, scheme or "", form.precision == "float16"


def _forms(
    precisions: list[str], *, to: Iterable[str], **asked: "Iterable[str] | Iterable[str | None]"
) -> "tuple[list[ExportOptions], list[str]]":
    """All combinations that are valid, and the refusals of the others."""
    from mobile_seg.converters.options import ExportOptions

    forms, refused = [], []
    for values in itertools.product(to, precisions, *asked.values()):
        try:
            chosen: dict[str, Any] = dict(zip(("target", "precision", *asked), values, strict=True))
            forms.append(ExportOptions(**chosen))
        except UsageError as error:
            refused.append(str(error))
    return list(dict.fromkeys(forms)), refused


def _beside(
    source: Source, forms: "list[ExportOptions]", images: int | None, stage: Path
) -> "contextlib.AbstractContextManager[Ahead | None]":
    """The process that runs artifacts while others are converted, where that spares time."""
    from mobile_seg.imaging import resize_image
    from mobile_seg.verify.ahead import Ahead

    given, made = source.manifest.input, source.manifest.output
    size, classes = (given.height, given.width), len(source.manifest.classes)
    given_pixels, made_pixels = given.height * given.width, made.height * made.width
    values = sum(
        (made_pixels if form.output == "logits" else given_pixels)
        * (1 if form.output.startswith("labels") else classes)
        for form in forms
    )
    shown = min(source.count(images), AHEAD_BYTES // (4 * values))
    large = len(forms) >= AHEAD_FILES or source.count(images) * given_pixels >= AHEAD_PIXELS
    if len(forms) == 1 or not shown or not large:
        return contextlib.nullcontext()
    first = itertools.islice(source.images(images), shown)
    return Ahead([resize_image(image, size) for image in first], stage)


def _verify(made: list[Artifact], source: Source, images: int | None, progress: Progress | None) -> None:
    """Compare each artifact with its Keras model, whose inference those of one form share."""
    from mobile_seg.quantization.settle import infer_in_integers
    from mobile_seg.verify.compare import compare_all
    from mobile_seg.verify.keras_runner import KerasRunner

    groups: dict[Any, list[Artifact]] = {}
    for artifact in made:
        groups.setdefault((artifact.scheme, artifact.full), []).append(artifact)
    for (scheme, full), members in groups.items():
        started = time.perf_counter()
        model = source.model(scheme, full)
        infer_in_integers(model)  # it is not trained any more
        reference = KerasRunner(model, manifest=source.described(full))
        runners = [runner for artifact in members for runner in artifact.runners]
        found = iter(
            compare_all(
                reference,
                runners,
                source.images(images),
                progress=_told(progress, source.count(images), members),
            )
        )
        for artifact in members:
            artifact.agreements, artifact.reference = [next(found) for _ in artifact.runners], reference
            artifact.seconds["verify"] = (time.perf_counter() - started) / len(members)


def _told(progress: Progress | None, total: int, members: list[Artifact]) -> Callable[[int], None] | None:
    names = members[0].name if len(members) == 1 else f"{members[0].name} and {len(members) - 1} more"
    return None if progress is None else lambda done: progress(done, total, f"verifying {names}")
