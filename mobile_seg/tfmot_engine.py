"""The second engine: a trained model through TF-MOT to a verified `.tflite`, and what pruning or clustering brings it.

TF-MOT works on legacy Keras: what comes back is a file, not a Keras 3 model to train further.
"""

import dataclasses
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg import api
from mobile_seg.converters.metadata import finish
from mobile_seg.data.calibration import calibration_batches
from mobile_seg.data.description import Dataset
from mobile_seg.data.readers import read_image, read_split
from mobile_seg.data.stream import TrainStream
from mobile_seg.errors import UsageError
from mobile_seg.files import write_bytes, write_json, write_text
from mobile_seg.keras_file import installed_versions
from mobile_seg.manifest import Manifest, OutputSpec
from mobile_seg.measurements import PROFILE_IMAGES
from mobile_seg.phases import QAT_RECIPE, PathLike, Progress
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.quantization.rewrite import is_quantized
from mobile_seg.quantization.tf_keras_twin import load_extra
from mobile_seg.quantization.tfmot import Source, TfmotResult, Training, run_tfmot
from mobile_seg.quantization.tfmot_export import file_size, ptq_bytes
from mobile_seg.quantizing import opened
from mobile_seg.training.losses import SegmentationLoss
from mobile_seg.training.recipe import UNDECAYED, Recipe
from mobile_seg.verify import gate
from mobile_seg.verify.compare import Agreement, compare
from mobile_seg.verify.runners import Runner
from mobile_seg.verify.tflite_runner import TFLiteRunner

FORMS = {"qat": "qat", "ptq": "ptq", "prune": "pruned", "cluster": "clustered"}
"""TF-MOT's method → how its file is called."""

MEASURED = ".measured.json"
"""What the record's file ends in; it lies beside the artifact and its manifest (`.json`)."""


class TwinRunner(Runner):
    """A `tf_keras` model behind our runner's face; `source` is the float network that it was made of."""

    def __init__(self, model: Any, *, source: Source, manifest: Manifest) -> None:
        super().__init__(path=None, manifest=manifest, kind="keras")
        self._model, self._source = model, source

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """Run it on one image `[1, H, W, 3]`, 0..255."""
        return np.asarray(self._model(self._source.normalize(tensor), training=False))[0]


@dataclass(frozen=True)
class Measured:
    """A finished file: bytes, bytes after zlib level 9, kernel values and how many of these are zero, mIoU on the
    validation images, and `latency_ms`: median milliseconds of inference on this machine by number of threads.
    """

    size_bytes: int
    compressed_bytes: int
    weights: int
    zeros: int
    miou: float
    latency_ms: dict[str, float]

    @property
    def sparsity(self) -> float:
        """The share of kernel values that are zero."""
        return self.zeros / self.weights

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self) | {"sparsity": self.sparsity}


@dataclass(frozen=True)
class TfmotRecord:
    """What the engine made at `path`, and what it is worth.

    `asked` is the sparsity or the number of clusters that was asked for. `agreement` is with the graph that the
    file was converted from. `dense` is the same float network, neither pruned nor clustered, as int8 by
    post-training quantization; None where `file` was neither, too.
    """

    path: Path
    method: str
    asked: dict[str, float]
    unannotated: tuple[str, ...]
    agreement: Agreement
    host: dict[str, Any]
    file: Measured
    dense: Measured | None

    @property
    def latency_ratio(self) -> dict[str, float] | None:
        """Milliseconds of `file` over those of `dense`, by number of threads."""
        if self.dense is None:
            return None
        return {threads: took / self.dense.latency_ms[threads] for threads, took in self.file.latency_ms.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "artifact": self.path.name,
            "engine": "tfmot",
            "method": self.method,
            "asked": self.asked,
            "unannotated": list(self.unannotated),
            "agreement": self.agreement.to_dict(),
            "host": self.host,
            "file": self.file.to_dict(),
            "dense": None if self.dense is None else self.dense.to_dict(),
            "latency_ratio": self.latency_ratio,
        }


def quantize_with_tfmot(
    model: PathLike,
    *,
    data: PathLike,
    folder: PathLike,
    recipe: Recipe | None = QAT_RECIPE,
    sparsity: float | None = None,
    clusters: int | None = None,
    progress: Progress | None = None,
) -> TfmotRecord:
    """Take a trained float `.keras` model through TF-MOT to `folder/{model}_tfmot_{form}.tflite`, and measure it.

    Images, batches and recipe are those of `mobile_seg.quantize`. With `sparsity` or `clusters` the network is
    trained while it is pruned or clustered and then quantized post-training; else it is trained
    quantization-aware, or with no recipe only quantized post-training. The file takes and gives floats, as TF-MOT's
    guide leaves it; manifest, signature and labels are inside, manifest and record also beside it.

    It is compared with TF-MOT's own graph and refused if it answers with one class alone. There is no further
    floor: that graph does not round where the file does, after pruning and clustering nowhere at all.

    Raises:
        UsageError: for what does not fit together, or another backend than TensorFlow.
        MissingExtraError: if the extra is not installed.
        ParityError: if the file collapsed, or the network cannot be rebuilt in legacy Keras; nothing is written.
        UnsupportedLayerError, DatasetError, ArtifactError, ProfileError, DiskError: as their names say.
    """
    method = _method(recipe, sparsity, clusters)
    load_extra()
    network, manifest, dataset = opened(model, data)
    if is_quantized(network):
        raise UsageError(f"{model} is quantized already; start from the float model it was made from.")
    shown = list(calibration_batches(dataset, size=(manifest.input.height, manifest.input.width)))
    asked = {name: value for name, value in (("sparsity", sparsity), ("clusters", clusters)) if value is not None}
    result = _run(network, dataset, method, recipe, shown, asked, progress)

    path = Path(folder) / f"{manifest.model}_tfmot_{FORMS[method]}.tflite"
    runner, content = made = _finished(result.content, result.source, manifest, path)
    agreement = compare(
        TwinRunner(result.model, source=result.source, manifest=manifest),
        runner,
        (image for image, _ in read_split(dataset, "val")),
        progress=_told(progress, len(dataset.val), f"verifying {path.name}"),
    )
    gate.refuse_collapsed(agreement, artifact=path.name, reference="TF-MOT's own graph")
    files = [made]
    if asked:
        plain = ptq_bytes(result.source.twin, map(result.source.normalize, shown))
        files.append(_finished(plain, result.source, manifest, path.with_stem(f"{path.stem}_dense")))
    (file, *rest), host = _measured(files, dataset, data, progress)
    dense = rest[0] if rest else None
    record = TfmotRecord(path, method, asked, result.unannotated, agreement, host, file, dense)
    write_bytes(path, content)
    write_text(path.with_suffix(".json"), runner.manifest.to_json())
    write_json(path.with_suffix(MEASURED), record.to_dict())
    return record


def described(content: bytes, source: Source, manifest: Manifest) -> Manifest:
    """The manifest of a file that the bridge made, its tensors read off the file; `manifest` is the float model's."""
    facts = inspect_tflite(content)
    given, made = facts.inputs[0], facts.outputs[0]
    return dataclasses.replace(
        manifest,
        precision="int8",
        input=dataclasses.replace(
            manifest.input, dtype=given.dtype.lower(), normalized_outside=source.normalized_outside
        ),
        output=OutputSpec("logits", made.shape[1], made.shape[2], made.dtype.lower(), made.scale, made.zero_point),
    )


def _method(recipe: Recipe | None, sparsity: float | None, clusters: int | None) -> str:
    if sparsity is not None and clusters is not None:
        raise UsageError("sparsity and clusters exclude each other; give one of them.")
    if sparsity is None and clusters is None:
        return "ptq" if recipe is None else "qat"
    if recipe is None:
        raise UsageError("pruning and clustering train the network: they need a recipe.")
    return "cluster" if sparsity is None else "prune"


def _run(
    network: Any,
    dataset: Dataset,
    method: str,
    recipe: Recipe | None,
    shown: list[np.ndarray],
    asked: dict[str, Any],
    progress: Progress | None,
) -> TfmotResult:
    if recipe is None:
        return run_tfmot(network, method=method, images=shown)
    with TrainStream(dataset, size=network.input_shape[1:3], batch=recipe.batch, seed=recipe.seed) as batches:
        loss = SegmentationLoss(label_smoothing=recipe.label_smoothing)
        training = Training(recipe, batches, loss, UNDECAYED)
        return run_tfmot(network, method=method, images=shown, training=training, progress=progress, **asked)


def _finished(content: bytes, source: Source, manifest: Manifest, path: Path) -> tuple[TFLiteRunner, bytes]:
    """The whole artifact, opened as if it lay at `path`, and its bytes."""
    own = described(content, source, manifest)
    whole = finish(content, own)
    return TFLiteRunner(whole, manifest=own, path=path), whole


def _measured(
    files: list[tuple[TFLiteRunner, bytes]], dataset: Dataset, data: PathLike, progress: Progress | None
) -> tuple[list[Measured], dict[str, Any]]:
    """What each file is worth, and the machine they were timed on."""
    scores = [api.evaluate(runner, data=data, progress=progress).miou for runner, _ in files]
    contents = [content for _, content in files]
    times, host = _timed(contents, [read_image(pair.image) for pair in dataset.val[:PROFILE_IMAGES]])
    found = []
    for content, miou, latency in zip(contents, scores, times, strict=True):
        size = file_size(content)
        found.append(Measured(size.bytes, size.compressed, size.weights, size.zeros, miou, latency))
    tf_keras, tfmot = load_extra()
    versions = {**installed_versions(), "tf_keras": tf_keras.__version__, "tfmot": tfmot.__version__}
    return found, host | {"versions": versions}


def _timed(contents: list[bytes], images: list[Any]) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Median milliseconds of inference by threads, of each; in turns there and back, so that a drift hits all alike."""
    first = range(len(contents))
    turns = [*first, *reversed(first)] if len(contents) > 1 else [*first]
    samples: list[dict[str, list[float]]] = [{} for _ in contents]
    with tempfile.TemporaryDirectory(prefix="mobile-seg-tfmot-") as folder:
        paths = [write_bytes(Path(folder) / f"{number}.tflite", content) for number, content in enumerate(contents)]
        for number in turns:
            profile = api.profile(paths[number], images=images)
            for measured in profile.by_threads:
                samples[number].setdefault(str(measured.threads), []).extend(measured.infer.samples_ms)
    medians = [{threads: statistics.median(taken) for threads, taken in found.items()} for found in samples]
    return medians, {"cpu": profile.cpu, "cores": profile.cores, "runs": profile.runs * turns.count(0)}


def _told(progress: Progress | None, total: int, text: str) -> Any:
    return None if progress is None else lambda done: progress(done, total, text)
