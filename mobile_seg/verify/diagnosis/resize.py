"""Mistakes in where pixels lie: another convention of resizing, or an image moved as a whole."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import cv2
import numpy as np

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import call, plain, rebuild, view
from mobile_seg.verify.compare import at_size
from mobile_seg.verify.diagnosis.case import Case, Outputs, Trial
from mobile_seg.verify.shift import MaskShift

Places = Callable[[int, int], np.ndarray]
"""`places(before, after)`: where each of `after` positions lies among `before`, `[after]`."""

SMALLEST = 0.25
"""Input pixels that a mask must have moved by before that can be the mistake: half of what the least of them moves."""

_OUTSIDE = "outside"
"""The name of the resizing that stands in the candidate alone: the reference answers at the output stride."""


def align_corners(case: Case) -> Iterator[Trial]:
    """The corners' centres are put upon each other where half-pixel centres are meant: masks are stretched."""
    fix = "{} with align_corners: ask for half-pixel centres (half_pixel_centers true, align_corners false)"
    yield from _resized_otherwise(case, _aligned, fix)


def off_by_one(case: Case) -> Iterator[Trial]:
    """Pixels' corners are taken for their centres, or a crop or padding sits on the wrong side: masks are moved."""
    fix = "{} from corners instead of centres, which moves masks by half a step: ask for half_pixel_centers"
    yield from _resized_otherwise(case, _from_corners, fix)
    shift = MaskShift(input_size=case.reference.input_size)
    for one, other in zip(case.expected, case.given, strict=True):
        shift.add(one, other)
    moved = shift.displacement()
    if moved is None or max(map(abs, moved)) < SMALLEST:
        return
    said = f"by ({moved[0]:+.2f}, {moved[1]:+.2f}) pixels of the input (down, right)"
    yield _moved_outputs(case, moved, f"masks are moved {said}: look for a crop or padding on the wrong side")
    whole = round(moved[0]), round(moved[1])
    if any(whole):
        fix = f"the image is moved {said} before the network: look for a crop or padding at the input"
        outputs = case.reference_on(lambda image: _moved(image, whole))
        if outputs is not None:
            yield _without_border(case, case.resized(outputs), moved, fix)


def _resized_otherwise(case: Case, places: Places, fix: str) -> Iterator[Trial]:
    """Every resizing otherwise; then the last one only, or all but the last."""
    sites = _resizings(case)
    choices = [sites] if len(sites) < 2 else [sites, sites[-1:], sites[:-1]]
    for chosen in filter(None, choices):
        outputs = _outputs(case, chosen, places)
        names = ", ".join("the output" if site == _OUTSIDE else site for site in chosen[:3])
        more = f" and {len(chosen) - 3} more" if len(chosen) > 3 else ""
        yield Trial(outputs, case.given, fix.format(f"the file resizes {names}{more}"))


def _resizings(case: Case) -> list[str]:
    """The names of the reference's layers that resize, in order, and what resizes its logits to the file's size."""
    found = []
    if case.model is not None:
        try:
            graph = view(plain(case.model))
            found = [name for name in graph.order if _resizes(graph.layers[name])]
        except UnsupportedLayerError:
            found = []
    if case.raw[0].ndim == 3 and case.raw[0].shape[:2] != case.size:
        found.append(_OUTSIDE)
    return found


def _resizes(layer: Any) -> bool:
    return hasattr(layer, "interpolation") and layer.output.shape[1:3] != layer.input.shape[1:3]


def _outputs(case: Case, chosen: Collection[str], places: Places) -> Outputs:
    layers = [name for name in chosen if name != _OUTSIDE]
    outputs = case.outputs_of(_with_resizings(case.model, layers, places)) if layers else case.raw
    if _OUTSIDE not in chosen:
        return case.resized(outputs)
    nearest = case.candidate.manifest.output.kind == "labels-nearest"
    return [_resized(output, case.size, places, nearest=nearest) for output in outputs]


def _with_resizings(model: Any, chosen: Collection[str], places: Places) -> Any:
    """The Keras model, some of its layers resizing from other places."""
    from keras import ops

    def emit(layer: Any, *inputs: Any) -> Any:
        if layer.name in chosen:
            nearest = layer.interpolation == "nearest"
            sides = zip(layer.input.shape[1:3], layer.output.shape[1:3], strict=True)
            rows, columns = (_matrix(before, after, places, nearest=nearest) for before, after in sides)
            return ops.einsum("nijc,yi,xj->nyxc", inputs[0], rows, columns)
        return call(layer, *inputs)

    return rebuild(plain(model), emit)


def _resized(logits: np.ndarray, size: tuple[int, int], places: Places, *, nearest: bool) -> np.ndarray:
    """Logits `[h, w, C]` at `size`, or the ids of the nearest pixel."""
    sides = zip(logits.shape[:2], size, strict=True)
    rows, columns = (_matrix(before, after, places, nearest=nearest) for before, after in sides)
    if nearest:
        return logits.argmax(-1)[np.ix_(rows.argmax(1), columns.argmax(1))]
    return np.tensordot(columns, np.tensordot(rows, logits, (1, 0)), (1, 1)).transpose(1, 0, 2)


def _matrix(before: int, after: int, places: Places, *, nearest: bool) -> np.ndarray:
    """`[after, before]`: what each new position takes of each old one."""
    place = np.clip(places(before, after), 0, before - 1)
    if nearest:
        return np.eye(before, dtype=np.float32)[np.floor(place + 0.5).astype(int)]
    first = np.floor(place).astype(int)
    share = (place - first)[:, None]
    one = np.eye(before)
    return ((1.0 - share) * one[first] + share * one[np.minimum(first + 1, before - 1)]).astype(np.float32)


def _aligned(before: int, after: int) -> np.ndarray:
    return np.arange(after) * ((before - 1) / max(after - 1, 1))


def _from_corners(before: int, after: int) -> np.ndarray:
    return np.arange(after) * (before / after)


def _moved_outputs(case: Case, moved: tuple[float, float], fix: str) -> Trial:
    """The reference's outputs, moved by so many input pixels."""
    by = tuple(d * own / full for d, own, full in zip(moved, case.size, case.reference.input_size, strict=True))
    if case.logits:
        return _without_border(case, [_moved(logits, by) for logits in case.expected], moved, fix)
    ids = [one.argmax(-1) if one.ndim == 3 else one for one in case.expected]
    whole = round(by[0]), round(by[1])
    return _without_border(case, [_moved(one.astype(np.float32), whole).astype(int) for one in ids], moved, fix)


def _moved(values: np.ndarray, by: tuple[float, ...]) -> np.ndarray:
    """`[h, w, ...]` moved down and right by pixels of its own, borders repeated."""
    rows, columns = (np.arange(side) - d for side, d in zip(values.shape[:2], by, strict=True))
    planes = np.atleast_3d(values).astype(np.float32)
    field = np.broadcast_arrays(columns[None].astype(np.float32), rows[:, None].astype(np.float32))
    maps = [np.ascontiguousarray(one) for one in field]
    parts = [
        cv2.remap(planes[..., first : first + 4], *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(
            *values.shape[:2], -1
        )
        for first in range(0, planes.shape[-1], 4)
    ]
    return np.concatenate(parts, -1).reshape(values.shape)


def _without_border(case: Case, expected: Outputs, moved: tuple[float, float], fix: str) -> Trial:
    """What was moved in from outside the picture is not compared."""
    cuts = [
        min(int(np.ceil(abs(d) * own / full)) + 1, own // 4)
        for d, own, full in zip(moved, case.size, case.reference.input_size, strict=True)
    ]
    inner = tuple(slice(cut, side - cut) for cut, side in zip(cuts, case.size, strict=True))
    sums_nearest = case.candidate.manifest.output.kind == "labels-nearest"
    given = [at_size(one, case.size, nearest=sums_nearest) for one in case.given]
    return Trial([one[inner] for one in expected], [one[inner] for one in given], fix)
