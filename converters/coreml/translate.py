"""How we read TensorFlow's operations otherwise than coremltools does, while one model is converted.

Three things in a converted program would be another function than the graph's, or might be on some unit:
fake-quantization is rounded to another grid, a resize to a size that is no multiple is given by a factor that is a
little too large, and `same` is documented in two ways. `coreml_passes` mends what is left in the program.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobile_seg.converters.builder import Conversion
from mobile_seg.converters.coreml.passes import OnGrids, Padded, Weights, bottom_of


@dataclass(frozen=True)
class ByteGrid:
    """Unsigned bytes that stand for `scale · (byte - zero_point)`."""

    scale: float
    zero_point: int

    @classmethod
    def of_range(cls, low: float, high: float) -> "ByteGrid":
        """The grid that TensorFlow's fake quantization gives a range: zero on it, where the range has it inside."""
        scale = (float(high) - float(low)) / 255.0
        return cls(scale, int(np.clip(np.floor(-float(low) / scale + 0.5), 0, 255)))


@dataclass
class Grids:
    """The quantizers met while a graph is translated, by name, and those that bytes cannot follow."""

    wanted: bool
    found: dict[str, ByteGrid] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def conversions(self) -> tuple[Conversion, ...]:
        """What the package computes in floats though the graph has a grid there."""
        reason = "Core ML has no 16-bit integers: these stay floats"
        return tuple(Conversion("FLOAT", name, reason) for name in self.left_out)


@contextlib.contextmanager
def our_translations(integers: bool) -> Iterator[Grids]:
    """Have coremltools translate fake-quantization and resizes by the functions here, for the time being."""
    from coremltools.converters.mil.frontend.tensorflow.tf_op_registry import _TF_OPS_REGISTRY as registry

    grids = Grids(integers)
    ours = {
        "FakeQuantWithMinMaxVars": lambda context, node: _fake_quant(context, node, grids),
        "ResizeBilinear": _resize_bilinear,
        "ResizeNearestNeighbor": _resize_nearest,
        "Erfc": _complementary_error,
    }
    theirs = dict(registry)
    registry.update(ours)
    try:
        yield grids
    finally:
        registry.clear()
        registry.update(theirs)


@contextlib.contextmanager
def our_pipeline(grids: Grids, weights: Weights) -> Iterator[Any]:
    """The default passes with ours before the cast to float16, so that scales and tables are cast as well."""
    from coremltools.converters.mil.mil.passes.pass_pipeline import PassPipeline
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY

    pipeline = PassPipeline.DEFAULT
    place = pipeline.passes.index("common::remove_redundant_ops")
    ours: dict[str, Any] = {"padded": Padded(), "on_grids": OnGrids(grids.found), "weights": weights.graph_pass()}
    registered = {f"mobile_seg::{name}": one for name, one in ours.items() if one is not None}
    for offset, (name, one) in enumerate(registered.items()):
        PASS_REGISTRY.passes[name] = one
        pipeline.insert_pass(index=place + offset, pass_name=name)
    try:
        with _without_repetition():
            yield pipeline
    finally:
        for name in registered:
            del PASS_REGISTRY.passes[name]


@contextlib.contextmanager
def _without_repetition() -> Iterator[None]:
    """Spare half of coremltools' time, which goes into what it repeats after each of 100 passes.

    It checks the whole program, and looks up again which values no pass may fold, which each knows since it was made.
    It also freezes a frozen function. What comes out is evaluated and compared anyway.
    """
    from coremltools.converters.mil.frontend.tensorflow2 import load
    from coremltools.converters.mil.mil import Block, Program

    with contextlib.ExitStack() as restored:
        for owner, name, instead in (
            (Program, "validate", lambda program, check_essential_scope=False: None),
            (Block, "_propagate_nonreplaceable_vars", lambda block: None),
            (load, "_convert_variables_to_constants_v2", lambda function, **options: function),
        ):
            restored.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, instead)
        yield


def _fake_quant(context: Any, node: Any, grids: Grids) -> None:
    """A clip, which coremltools moves its layout changes through; `OnGrids` makes integers of it at the end."""
    from coremltools.converters.mil.mil import Builder as mb

    x = context[node.inputs[0]]
    low, high = (float(np.asarray(context[name].val)) for name in node.inputs[1:3])
    bits = int(node.attr["num_bits"])
    if bits != 8 or not grids.wanted:
        grids.left_out.append(node.name)
        context.add(node.name, mb.identity(x=x, name=node.name))
        return
    grids.found[node.name] = ByteGrid.of_range(low, high)
    # Found again by this constant: coremltools gives the clip itself another name where it moves a transpose past it.
    bottom = mb.const(val=np.float32(low), name=bottom_of(node.name))
    context.add(node.name, mb.clip(x=x, alpha=bottom, beta=np.float32(high), name=node.name))


def _resize_bilinear(context: Any, node: Any) -> None:
    """By its size: coremltools gives a factor, 11/6 as 1.83335."""
    from coremltools.converters.mil.mil import Builder as mb

    modes = {(False, True): "UNALIGN_CORNERS", (True, False): "STRICT_ALIGN_CORNERS", (False, False): "DEFAULT"}
    corners = bool(node.attr.get("align_corners", False)), bool(node.attr.get("half_pixel_centers", False))
    x = mb.transpose(x=context[node.inputs[0]], perm=[0, 3, 1, 2])
    height, width = (int(size) for size in context[node.inputs[1]].val)
    x = mb.resize_bilinear(
        x=x,
        target_size_height=height,
        target_size_width=width,
        sampling_mode=modes[corners],
        name=f"{node.name}_channels_first",
    )
    context.add(node.name, mb.transpose(x=x, perm=[0, 2, 3, 1], name=node.name))


def _resize_nearest(context: Any, node: Any) -> None:
    """By whole factors where there are some; else by a table of rows and one of columns.

    Which pixel Core ML takes for a size that is no multiple is documented nowhere.
    """
    from coremltools.converters.mil.mil import Builder as mb

    x = context[node.inputs[0]]
    before, after = x.shape[1:3], tuple(int(size) for size in context[node.inputs[1]].val)
    centred = bool(node.attr.get("half_pixel_centers", False))
    if any(new % old for old, new in zip(before, after, strict=True)):
        for axis, (old, new) in enumerate(zip(before, after, strict=True), 1):
            last = axis == 2
            rows = _nearest(old, new, centred)
            x = mb.gather(x=x, indices=rows, axis=axis, name=node.name if last else f"{node.name}_rows")
        context.add(node.name, x)
        return
    height, width = (new // old for old, new in zip(before, after, strict=True))
    x = mb.transpose(x=x, perm=[0, 3, 1, 2])
    x = mb.upsample_nearest_neighbor(
        x=x, scale_factor_height=height, scale_factor_width=width, name=f"{node.name}_channels_first"
    )
    context.add(node.name, mb.transpose(x=x, perm=[0, 2, 3, 1], name=node.name))


def _complementary_error(context: Any, node: Any) -> None:
    """Of an exact GELU; coremltools knows the error function only."""
    from coremltools.converters.mil.mil import Builder as mb

    errors = mb.erf(x=context[node.inputs[0]], name=f"{node.name}_erf")
    context.add(node.name, mb.sub(x=np.float32(1.0), y=errors, name=node.name))


def _nearest(old: int, new: int, centred: bool) -> np.ndarray:
    """Which old position each new one copies, in TensorFlow's float32."""
    scale = np.float32(old) / np.float32(new)
    place = (np.arange(new, dtype=np.float32) + np.float32(0.5 if centred else 0.0)) * scale
    return np.minimum(np.floor(place).astype(np.int32), old - 1)
