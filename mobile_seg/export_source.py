"""What artifacts are made of: a trained model, and its forms."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg.data.description import Dataset, spread
from mobile_seg.errors import UsageError, choose
from mobile_seg.manifest import Manifest
from mobile_seg.phases import PathLike
from mobile_seg.quantizing import quantized, scheme_of

if TYPE_CHECKING:
    from mobile_seg.converters.coreml.writer import TracedModel
    from mobile_seg.converters.options import ExportOptions
    from mobile_seg.converters.tflite import ConvertedGraph

HALF_IMAGES = 8
"""What the first layers' weights are rounded to half precision by."""


class Source:
    """The trained model, and what artifacts are made of it, each form once."""

    def __init__(self, path: PathLike, dataset: Dataset, input_size: tuple[int, int] | None) -> None:
        from mobile_seg.quantization.rewrite import is_quantized
        from mobile_seg.verify.keras_runner import load_keras
        from mobile_seg.verify.runners import require_manifest

        if Path(path).suffix != ".keras":
            raise UsageError(f"{path} is not a .keras model; exports start from the one that training saved.")
        self.path, self.dataset = Path(path), dataset
        self.manifest = require_manifest(path)
        self.network = load_keras(path)
        if input_size is not None and input_size != (self.manifest.input.height, self.manifest.input.width):
            from mobile_seg.rebuilding import at_size

            self.network, self.manifest = at_size(self.network, self.manifest, input_size)
        self.own = scheme_of(self.manifest) if is_quantized(self.network) else None
        self.model = functools.cache(self._model)
        self.graph = functools.cache(self._graph)
        # Forms of one graph are made one after the other; two, as a float16 file is made of the float32 one.
        self.flat = functools.lru_cache(maxsize=2)(self._flat)
        self.traced = functools.lru_cache(maxsize=1)(self._traced)

    def precision(self, asked: str | None) -> str:
        """The precision of an artifact, where it is left open the model's own.

        Raises:
            UsageError: for one that a quantized model cannot become.
        """
        from mobile_seg.converters.options import PRECISIONS
        from mobile_seg.quantization.scheme import find

        own = None if self.own is None else find(self.own).precision
        wanted = choose("precision", asked or own or "int8", PRECISIONS)
        if own not in (None, wanted):
            raise UsageError(f"{self.path} is quantized to {own}; export {wanted} from the float model beside it.")
        return wanted

    def scheme(self, precision: str) -> str | None:
        """What the model is quantized by for this precision; None for a float one."""
        if self.own is not None:
            return self.own
        return precision if precision in ("int8", "int16x8", "w8") else None

    def _model(self, scheme: str | None, full: bool) -> Any:
        """The Keras model that an artifact must follow."""
        if full:
            from mobile_seg.quantization.full_size import at_input_size

            return at_input_size(self.model(scheme, False))
        return self.network if scheme == self.own else quantized(self.network, self.dataset, scheme=scheme)

    def _graph(self, scheme: str | None, full: bool, target: str) -> Any:
        """What the converter of a target is given."""
        from mobile_seg.quantization.deploy import deploy_graph
        from mobile_seg.quantization.lower import lower

        model = self.model(scheme, full)
        if scheme is not None:
            return deploy_graph(model)
        return lower(model) if target == "onnx" else model

    def _flat(self, scheme: str | None, full: bool, options: "ExportOptions") -> "ConvertedGraph":
        """What the files of one form for several targets are rewritten from."""
        from mobile_seg.converters.halves import halved
        from mobile_seg.converters.tflite import bare

        if options.precision == "float16" and scheme is None:  # a float32 file has just been made of it, as a rule
            whole = self.flat(scheme, full, dataclasses.replace(options, precision="float32"))
            return dataclasses.replace(whole, content=halved(whole.content))
        return bare(self.graph(scheme, full, "tflite"), options=options, integer_graph=scheme is not None)

    def _traced(self, scheme: str | None, full: bool, output: str, *, half: bool) -> "TracedModel":
        """What packages of one form are made of in several precisions; `half`: float16 of a float model, alone."""
        from mobile_seg.converters.coreml.writer import trace_with_output
        from mobile_seg.data.calibration import calibration_batches

        size = (self.manifest.input.height, self.manifest.input.width)
        images = calibration_batches(self.dataset, size=size, images=HALF_IMAGES, batch=1) if half else None
        return trace_with_output(self.graph(scheme, full, "tflite" if scheme else "coreml"), output, images=images)

    def count(self, asked: int | None) -> int:
        """How many validation images there are, of those asked for, or at all."""
        return min(asked or len(self.dataset.val), len(self.dataset.val))

    def images(self, count: int | None) -> Iterator[Any]:
        """Validation images `[H, W, 3]` uint8, so many, spread evenly, or all."""
        from mobile_seg.data.readers import read_pair

        chosen = spread(self.dataset.val, self.count(count))
        return (read_pair(pair, self.dataset)[0] for pair in chosen)

    def described(self, full: bool) -> Manifest:
        """The manifest of `model`."""
        if not full:
            return self.manifest
        size = self.manifest.input
        output = dataclasses.replace(self.manifest.output, kind="logits-full", height=size.height, width=size.width)
        return dataclasses.replace(self.manifest, output=output)
