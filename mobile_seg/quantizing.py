"""The verbs around quantization: quantize a trained model, and rank its layers by what quantizing each costs."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg.data.description import Dataset, load_dataset
from mobile_seg.errors import UsageError
from mobile_seg.files import write_json
from mobile_seg.keras_file import save_model, weights_digest
from mobile_seg.manifest import Manifest
from mobile_seg.phases import QAT_RECIPE, PathLike, Progress, keras_runner, miou, train_phase
from mobile_seg.training.recipe import Recipe

if TYPE_CHECKING:
    from mobile_seg.quantization.sensitivity import Damage

RANKING_IMAGES = 4
"""Training images that layers are ranked on, spread evenly over the set."""

SENSITIVITY, RAISED = "sensitivity.json", "raised.json"
"""What `analyze` and the search for a drop leave in the folder."""

DEFAULTS: dict[str, Any] = {
    "scheme": "int8",
    "keep": {},
    "ranges": "average",
    "method": "average",
    "equalize": False,
    "correct_bias": False,
    "freeze_batch_norm": 0.0,
}
"""How the engine quantizes unless told otherwise."""

Quantize = Callable[..., Any]
"""`quantize(keep=...)`: the post-training quantized model."""


def quantize(
    model: PathLike,
    *,
    data: PathLike,
    folder: PathLike,
    recipe: Recipe | None = QAT_RECIPE,
    scheme: str = "int8",
    keep: Mapping[str, str] | None = None,
    ranges: str = "average",
    method: str = "average",
    equalize: bool = False,
    correct_bias: bool = False,
    max_drop: float | None = None,
    freeze_batch_norm: float = 0.0,
    evaluate_every: int = 500,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Quantize a trained `.keras` model and return `folder/model_qat.keras`.

    Ranges are set from training images first. With a recipe the model is then trained quantization-aware;
    with None it is left at that, which is post-training quantization. `scheme`, `keep`, `ranges`, `method`,
    `equalize` and `correct_bias` are those of `mobile_seg.quantization.quantize`. Batch normalization goes on
    following the batches for `freeze_batch_norm` of the steps, and is then fixed. Of all evaluations on the
    validation images, the one after calibration included, the best is what is saved.

    With `max_drop`, in points of mIoU on the validation images, the fewest layers are raised to 16 bits or
    float with which post-training quantization stays within that of the float model; training goes on from
    there. `sensitivity.json` and `raised.json` in `folder` say what was found.

    Raises:
        MobileSegError: if the drop is larger even with all layers raised.
        UsageError, DatasetError, ArtifactError, CheckpointError, UnsupportedLayerError.
    """
    from mobile_seg.training.settings import dataset_digest, settings_key

    if not 0.0 <= freeze_batch_norm <= 1.0:
        raise UsageError(f"freeze_batch_norm={freeze_batch_norm}; give a share of the steps, from 0 to 1.")
    if keep and max_drop is not None:
        raise UsageError("keep and max_drop exclude each other: the search decides what to raise; leave one out.")
    trained, manifest, dataset = opened(model, data)
    how = _different(
        scheme=scheme, keep=keep, ranges=ranges, method=method, equalize=equalize, correct_bias=correct_bias
    )
    make = functools.partial(quantized, trained, dataset, **how)
    drop = None
    if max_drop is not None:
        drop = _Drop(trained, dataset, max_drop, progress)
        how |= _different(keep=drop.search(make, Path(folder), manifest, scheme))
    network = quantized(trained, dataset, **how)
    if recipe is not None:
        how |= _different(freeze_batch_norm=freeze_batch_norm)
        key = settings_key(float_model=weights_digest(trained), data=dataset_digest(dataset), recipe=recipe, **how)
        where: dict[str, Any] = {"folder": Path(folder), "evaluate_every": evaluate_every, "resume": resume}
        _train(network, dataset, recipe, freeze_batch_norm, key=key, progress=progress, **where)
    described = _described(manifest, f"{scheme}-{'ptq' if recipe is None else 'qat'}", how.get("keep", {}))
    path = save_model(network, Path(folder) / "model_qat.keras", described)
    if drop is not None:
        drop.write(Path(folder) / RAISED, network)
    return path


def analyze(
    model: PathLike,
    *,
    data: PathLike,
    folder: PathLike,
    scheme: str = "int8",
    keep: Mapping[str, str] | None = None,
    method: str = "average",
    equalize: bool = False,
    correct_bias: bool = False,
    progress: Progress | None = None,
) -> "tuple[Damage, ...]":
    """Rank the layers of a trained float `.keras` model by what quantizing each alone does; worst first.

    It is calibrated as for post-training quantization and shown `RANKING_IMAGES` training images.
    `folder/sensitivity.json` holds the ranking; a run's report shows it.

    Raises:
        UsageError, DatasetError, ArtifactError, UnsupportedLayerError: as `quantize`.
    """
    trained, manifest, dataset = opened(model, data)
    how = _different(scheme=scheme, keep=keep, method=method, equalize=equalize, correct_bias=correct_bias)
    network = quantized(trained, dataset, **how)
    return _ranked(network, dataset, Path(folder), manifest, scheme, progress)


def _train(network: Any, dataset: Dataset, recipe: Recipe, thawed: float, **where: Any) -> None:
    """Train quantization-aware, batch normalization following the batches for a share of the steps, and settle."""
    from mobile_seg.quantization.settle import freeze_batch_norm, settle, sync_ranges, thaw_batch_norm

    if thawed:
        thaw_batch_norm(network)
    milestones = {int(recipe.steps * thawed): freeze_batch_norm} if thawed else {}
    where |= {"milestones": milestones, "refresh": sync_ranges, "keep_best": True}
    train_phase(network, dataset, recipe, name="qat", **where)
    settle(network)


def _described(manifest: Manifest, precision: str, keep: Mapping[str, str]) -> Manifest:
    return dataclasses.replace(manifest, precision=precision, kept=tuple(sorted(keep.items())))


def quantized(trained: Any, dataset: Dataset, **how: Any) -> Any:
    """The post-training quantized form of a float model, calibrated on training images."""
    from mobile_seg.data.calibration import calibration_batches
    from mobile_seg.quantization import quantize as engine

    return engine(trained, calibration_batches(dataset, size=tuple(trained.input_shape[1:3])), **how)


def scheme_of(manifest: Manifest) -> str:
    """The scheme that a quantized `.keras` model was made with, by its manifest.

    Raises:
        UsageError: for an unknown scheme.
    """
    from mobile_seg.quantization.scheme import find

    return find(manifest.precision.removesuffix("-qat").removesuffix("-ptq")).name


def _different(**how: Any) -> dict[str, Any]:
    """What differs from the defaults: a checkpoint's key says no more, so that older ones still fit."""
    plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in how.items()}
    return {name: value for name, value in plain.items() if value is not None and value != DEFAULTS[name]}


def opened(model: PathLike, data: PathLike) -> tuple[Any, Manifest, Dataset]:
    """A trained `.keras` model, its manifest and the dataset, of the same classes.

    Raises:
        UsageError: if the classes differ.
        ArtifactError, DatasetError: if one of them cannot be read.
    """
    from mobile_seg.verify.keras_runner import load_keras
    from mobile_seg.verify.runners import require_manifest

    manifest = require_manifest(model)
    dataset = load_dataset(data)
    if dataset.classes != manifest.classes:
        raise UsageError(f"{model} was trained on classes {manifest.classes}, {data} has {dataset.classes}.")
    return load_keras(model), manifest, dataset


def _ranked(
    network: Any, dataset: Dataset, folder: Path, manifest: Manifest, scheme: str, progress: Progress | None
) -> "tuple[Damage, ...]":
    from mobile_seg.data.calibration import calibration_batches
    from mobile_seg.quantization.sensitivity import rank

    size = (manifest.input.height, manifest.input.width)
    batches = calibration_batches(dataset, size=size, images=RANKING_IMAGES, batch=4)
    ranking = rank(network, batches, progress=progress)
    layers = [damage.to_dict() for damage in ranking]
    write_json(folder / SENSITIVITY, {"model": manifest.model, "scheme": scheme, "layers": layers})
    return ranking


class _Drop:
    """The search for the fewest layers to raise, and what it measured."""

    def __init__(self, trained: Any, dataset: Dataset, points: float, progress: Progress | None) -> None:
        if not points >= 0:
            raise UsageError(f"max_drop={points}; give points of mIoU, 0 or more.")
        self.dataset, self.points, self.progress = dataset, points, progress
        self.float_miou = self._miou(trained, "evaluating the float model")
        self.found: dict[str, Any] = {}

    def search(self, make: Quantize, folder: Path, manifest: Manifest, scheme: str) -> dict[str, str]:
        """Rank, then try; return what to keep."""
        from mobile_seg.quantization.search import fewest_raised

        ranking = _ranked(make(), self.dataset, folder, manifest, scheme, self.progress)

        def accuracy(keep: dict[str, str]) -> float:
            return self._miou(make(keep=keep), f"trying with {len(keep)} raised")

        found = fewest_raised(ranking, accuracy, floor=self.float_miou - self.points / 100.0)
        self.found = found.to_dict()
        return found.keep

    def write(self, path: Path, network: Any) -> None:
        """Say what was tried and kept, and what the finished model reaches."""
        reached = self._miou(network, "evaluating the quantized model")
        origin = {"max_drop": self.points, "float_miou": self.float_miou, "miou": reached}
        write_json(path, origin | {"keep": self.found["keep"], "tried": self.found["tried"]})

    def _miou(self, network: Any, text: str) -> float:
        total, tell = len(self.dataset.val), self.progress
        told = None if tell is None else lambda done: tell(done, total, text)
        return miou(keras_runner(network, self.dataset), self.dataset, progress=told)
