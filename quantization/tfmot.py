"""TF-MOT as a second engine: its quantization-aware training, its pruning and its clustering, on our networks.

TF-MOT (tensorflow-model-optimization) knows legacy Keras only, so a network is rebuilt there first. It is the
peer that our own engine is measured against: nothing here improves on what its guide says.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from mobile_seg.errors import UsageError, choose
from mobile_seg.quantization import tfmot_export, tfmot_rewrite
from mobile_seg.quantization.tf_keras_twin import check_twin, leading_rescaling, load_extra, rebuild_in_tf_keras
from mobile_seg.quantization.tfmot_export import FileSize
from mobile_seg.quantization.tfmot_train import Progress, Schedule, Trained, train

METHODS = ("qat", "ptq", "prune", "cluster")
PRECISIONS = ("int8", "float32")


@dataclass(frozen=True)
class Training:
    """What `train` is given; `batches` yields at least `schedule.steps` pairs of images `[N, H, W, 3]` and labels.

    Images are 0..255, as the network takes them. `loss(labels, logits)` is a scalar of TensorFlow operations;
    `mobile_seg.training.losses.SegmentationLoss` is one. Variables with a word of `undecayed` in their name get no
    weight decay.
    """

    schedule: Schedule
    batches: Iterator[tuple[Any, Any]]
    loss: Callable[[Any, Any], Any]
    undecayed: Sequence[str] = ()


@dataclass(frozen=True)
class Source:
    """A network's float twin, which takes `image * scale + offset`.

    `normalized_outside` says that this is more than the image; `difference` is that between the outputs of network
    and twin, as a share of the largest.
    """

    twin: Any
    scale: float
    offset: float
    normalized_outside: bool
    difference: float

    def normalize(self, images: Any) -> np.ndarray:
        """`[N, H, W, 3]`, 0..255 → what the twin takes, float32."""
        return np.asarray(images, np.float32) * np.float32(self.scale) + np.float32(self.offset)


@dataclass(frozen=True)
class TfmotResult:
    """A `.tflite` without a manifest, and what there is to say about it.

    `model` is the `tf_keras` model that the file was converted from; both take `source.normalize(images)`.
    `unannotated` names the layers that TF-MOT left in float. `source.twin` is as it was before any training.
    """

    content: bytes
    method: str
    precision: str
    size: FileSize
    model: Any
    source: Source
    unannotated: tuple[str, ...] = ()
    trained: Trained | None = None


def run_tfmot(
    model: keras.Model,
    *,
    method: str,
    images: Iterable[np.ndarray],
    precision: str = "int8",
    training: Training | None = None,
    sparsity: float | None = None,
    clusters: int | None = None,
    integer_io: bool = False,
    progress: Progress | None = None,
) -> TfmotResult:
    """Take a trained float network through TF-MOT to the bytes of a `.tflite`.

    Args:
        model: image `[N, H, W, 3]`, 0..255 → logits `[N, h, w, C]`.
        method: `qat`; or `ptq`, `prune` to `sparsity`, `cluster` to `clusters` values per kernel, which are
            exported at `precision`, int8 by plain post-training quantization.
        images: batches as `model` takes them: the representative dataset of `ptq_bytes`; the first one also shows
            that the rebuilt network computes the same.
        training: for `qat`, `prune` and `cluster`.

    Raises:
        UsageError: for an unknown method, what it needs and did not get, or another backend than TensorFlow.
        MissingExtraError: if the extra is not installed.
        UnsupportedLayerError, ParityError: if the network cannot be rebuilt in `tf_keras`.
        ArtifactError: if the conversion fails.
    """
    _check(method, precision, training=training, sparsity=sparsity, clusters=clusters)
    load_extra()
    shown = [np.asarray(batch, np.float32) for batch in images]
    source = rebuilt(model, shown)
    prepared = source.twin
    unannotated: tuple[str, ...] = ()
    if method == "qat":
        prepared, unannotated = tfmot_rewrite.quantize_aware(prepared)
    elif sparsity is not None and training is not None:
        prepared = tfmot_rewrite.prune(prepared, sparsity=sparsity, steps=training.schedule.steps)
    elif clusters is not None:
        prepared = tfmot_rewrite.cluster(prepared, clusters=clusters)
    trained = None if training is None else _train(prepared, source, training, progress)
    if method in ("prune", "cluster"):
        prepared = tfmot_rewrite.strip(prepared)
    if method == "qat":
        content = tfmot_export.export(prepared, integer_io=integer_io)
    elif precision == "int8":
        content = tfmot_export.ptq_bytes(prepared, map(source.normalize, shown), integer_io=integer_io)
    else:
        content = tfmot_export.float_bytes(prepared)
    size = tfmot_export.file_size(content)
    return TfmotResult(content, method, precision, size, prepared, source, unannotated, trained)


def rebuilt(model: keras.Model, images: Sequence[np.ndarray]) -> Source:
    """Rebuild a network in `tf_keras`, its leading Rescaling left to the caller, and check it on the first batch.

    Without it the file's input is the normalized image, as in our own int8 files, and TF-MOT, which has no rule
    for Rescaling, quantizes from the first convolution on.

    Raises:
        UsageError: without an image.
        MissingExtraError, UnsupportedLayerError, ParityError: as `run_tfmot`.
    """
    if not any(len(batch) for batch in images):
        raise UsageError("the TF-MOT engine got no image; give at least one batch")
    rescaling = leading_rescaling(model)
    scale, offset = rescaling or (1.0, 0.0)
    twin = rebuild_in_tf_keras(model, strip_rescaling=True)
    source = Source(twin, scale, offset, rescaling is not None, difference=0.0)
    return replace(source, difference=check_twin(model, twin, images[0], source.normalize(images[0])))


def _train(model: Any, source: Source, training: Training, progress: Progress | None) -> Trained:
    batches = ((source.normalize(images), labels) for images, labels in training.batches)
    return train(model, batches, training.schedule, loss=training.loss, undecayed=training.undecayed, progress=progress)


def _check(method: str, precision: str, **given: Any) -> None:
    """Refuse a combination that has no meaning, before anything slow begins."""
    choose("method", method, METHODS)
    choose("precision", precision, PRECISIONS)
    if method == "qat" and precision != "int8":
        raise UsageError("precision='float32' does not fit method='qat', which gives int8")
    needed = {"training": method != "ptq", "sparsity": method == "prune", "clusters": method == "cluster"}
    for name, value in given.items():
        if needed[name] != (value is not None):
            raise UsageError(f"method={method!r} {'needs' if needed[name] else 'takes no'} {name}")
    if keras.backend.backend() != "tensorflow":
        raise UsageError(
            f"the TF-MOT engine needs the TensorFlow backend, this process runs on {keras.backend.backend()}; give "
            "the command again with KERAS_BACKEND=tensorflow set"
        )
