"""Our layers made known to Keras, whenever it is imported: `.keras` files of ours then load by Keras' own means.

`import mobile_seg` must load nothing heavy, and Keras reads only what is registered with it. So the modules
that register are imported at once if Keras is there already, and else right behind Keras.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES = (
    "mobile_seg.layers",
    "mobile_seg.quantization.arithmetic",
    "mobile_seg.quantization.fake_quant",
    "mobile_seg.quantization.linear",
    "mobile_seg.quantization.linear_layers",
)
"""The modules whose layers stand in saved models, and what they import of each other."""


def register() -> None:
    """Register now, or as soon as Keras is imported."""
    if "keras" in sys.modules:
        _import_all()
    elif not any(isinstance(finder, _BehindKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BehindKeras())


def _import_all() -> None:
    for module in MODULES:
        importlib.import_module(module)


class _BehindKeras(MetaPathFinder):
    """Finds Keras as everyone else does, once, and adds the registration to its loading."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Keras' own spec with our loader around its; one of `MODULES` as Keras' import leaves it, whole."""
        if fullname in MODULES:
            # Begun first, it would be half-way through when Keras, which it imports, has the others imported.
            importlib.import_module("keras")
            return importlib.util.spec_from_loader(fullname, _Loaded(sys.modules.pop(fullname)))
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Registering(spec.loader)
        return spec


class _Loaded(Loader):
    """Gives a module that is there already."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module."""
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing but to say again where it came from."""
        module.__spec__ = self.spec


class _Registering(Loader):
    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Keras' module, by its own loader."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Load Keras, then our layers."""
        self.loader.exec_module(module)
        _import_all()
