"""LiteRT's C interface through ctypes: as much of it as compiling, running and profiling a model takes.

The interface is public (https://github.com/google-ai-edge/LiteRT/tree/main/litert/c); that options are handed over as
text, and how an event is laid out in memory, is not promised. So only versions that this was tried with are used.
"""

import ctypes
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mobile_seg.errors import MissingExtraError, ProfileError

PACKAGE, LIBRARY = "ai-edge-litert", "libLiteRt.so"
TRIED = ("2.3",)
"""Versions (major.minor) whose option texts and event layout are those below."""

WORKER = "mobile_seg.profiling.operations.worker"
"""The process that models are compiled in: what crashes in there ends nothing else."""

CPU = 1
WRITE, READ = 1, 0
ELEMENTS: dict[int, str] = {1: "<f4", 2: "<i4", 3: "|u1", 4: "<i8", 6: "|b1", 7: "<i2", 9: "|i1", 10: "<f2"}
"""LiteRT's number of an element type → NumPy's name of it."""

OPERATOR, INSIDE_DELEGATE = 1 << 1, 1 << 3
"""Kinds of events: an operation that the runtime ran itself, and a kernel inside a delegate."""

_Handle = ctypes.c_void_p


class _Event(ctypes.Structure):
    """`ProfiledEventData` of litert/c/litert_profiler_event.h; memory figures are left unread."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_int64 * 6),
        ("index", ctypes.c_int64),
        ("subgraph", ctypes.c_int64),
        ("source", ctypes.c_int),
    )


@dataclass(frozen=True)
class Event:
    """One event: its name, its kind (a bit), its number (of the operation, or within the partition), microseconds."""

    name: str
    kind: int
    index: int
    elapsed_us: int


def version() -> str:
    """Return the version of LiteRT, if it is one whose C interface is known.

    Raises:
        MissingExtraError: if it is not installed.
        ProfileError: if it is another.
    """
    try:
        found = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtraError(
            f"profiling operations needs LiteRT; install it with: pip install {PACKAGE}=={TRIED[-1]}.*"
        ) from None
    if ".".join(found.split(".")[:2]) not in TRIED:
        raise ProfileError(
            f"profiling operations uses the C interface of LiteRT {', '.join(TRIED)}, which is no public promise; "
            f"{found} is installed: pip install '{PACKAGE}=={TRIED[-1]}.*'"
        )
    return found


def library() -> Path:
    """Return LiteRT's shared library.

    Raises:
        MissingExtraError, ProfileError: as `version` does, and where the package has no such library.
    """
    version()
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        if (folder / LIBRARY).is_file():
            return folder / LIBRARY
    raise ProfileError(f"{PACKAGE} holds no {LIBRARY} on this system; operations are profiled on Linux")


class CompiledModel:
    """A model compiled for the CPU, with its buffers; a context manager with one owner."""

    def __init__(self, path: str, *, threads: int, mode: str = "delegate", profiled: bool = False) -> None:
        """Compile the file at `path`; `mode` is `delegate` (XNNPACK) or `builtin`.

        XNNPACK's flags stay as the runtime sets them: giving any replaces all, and without those for 8-bit
        operations it would take none.

        Raises:
            ProfileError: if the runtime refuses, with the function that did.
        """
        self._library = ctypes.CDLL(str(library()))
        self._free = ctypes.CDLL(None).free
        self._copy = ctypes.CDLL(None).strdup
        self._copy.restype = _Handle
        self.profiler = _Handle()
        with ExitStack() as owned:
            self._open(owned, path, threads=threads, mode=mode, profiled=profiled)
            self._owned = owned.pop_all()

    def __enter__(self) -> "CompiledModel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owned.close()

    def run(self) -> None:
        """Run one inference, and wait for it."""
        self._call("RunCompiledModel", self._model, _size(0), *self._ends)

    def profiled_run(self) -> list[Event]:
        """Run one inference with the profiler on, and return its events in the order they began."""
        self._call("ResetProfiler", self.profiler)
        self._call("StartProfiler", self.profiler)
        self.run()
        self._call("StopProfiler", self.profiler)
        count = ctypes.c_int()
        self._call("GetNumProfilerEvents", self.profiler, ctypes.byref(count))
        if count.value < 1:
            raise ProfileError("LiteRT recorded no event; its profiler is off in this build")
        events = (_Event * count.value)()
        self._call("GetProfilerEvents", self.profiler, count, events)
        return [Event((one.tag or b"").decode(), one.kind, one.index, one.elapsed_us) for one in events]

    def _open(self, owned: ExitStack, path: str, *, threads: int, mode: str, profiled: bool) -> None:
        make = self._maker(owned)
        environment = make("CreateEnvironment", 0, None, destroy="DestroyEnvironment")
        model = make("CreateModelFromFile", environment, path.encode(), destroy="DestroyModel")
        signature = make("GetModelSignature", model, _size(0))
        options = make("CreateOptions", destroy="DestroyOptions")
        self._call("SetOptionsHardwareAccelerators", options, CPU)
        if profiled:
            self._option(options, "runtime_options_string", "enable_profiling = true\n")
        kernels = "" if mode == "delegate" else f'kernel_mode = "{mode}"\n'
        self._option(options, "xnnpack", f"num_threads = {threads}\n{kernels}")
        self._model = make("CreateCompiledModel", environment, model, options, destroy="DestroyCompiledModel")
        ends: list[Any] = []
        for role in ("Input", "Output"):
            count = ctypes.c_size_t()
            self._call(f"GetNumSignature{role}s", signature, ctypes.byref(count))
            buffers = [self._buffer(make, environment, signature, role, at) for at in range(count.value)]
            ends += [count, (_Handle * count.value)(*(buffer.value for buffer in buffers))]
        self._ends = ends
        if profiled:
            self.profiler = make("CompiledModelGetProfiler", self._model)
            if not self.profiler:
                raise ProfileError("LiteRT gave no profiler; this build ignores 'enable_profiling'")

    def _maker(self, owned: ExitStack) -> Callable[..., Any]:
        def make(name: str, *arguments: Any, destroy: str | None = None) -> Any:
            handle = _Handle()
            self._call(name, *arguments, ctypes.byref(handle))
            if destroy is not None:
                owned.callback(getattr(self._library, f"LiteRt{destroy}"), handle)
            return handle

        return make

    def _buffer(self, make: Callable[..., Any], environment: Any, signature: Any, role: str, at: int) -> Any:
        """A buffer for one end, inputs filled with noise: with zeros, some float kernels would be faster."""
        tensor = make(f"GetSignature{role}TensorByIndex", signature, _size(at))
        ranked = (ctypes.c_uint64 * 64)()
        self._call("GetRankedTensorType", tensor, ranked)
        _close(ranked)
        needs = make(f"GetCompiledModel{role}BufferRequirements", self._model, _size(0), _size(at))
        kept = "DestroyTensorBuffer"
        buffer = make("CreateManagedTensorBufferFromRequirements", environment, ranked, needs, destroy=kept)
        if role == "Input":
            self._fill(buffer, ELEMENTS.get(ranked[0] & 0xFFFFFFFF))
        return buffer

    def _fill(self, buffer: Any, element: str | None) -> None:
        if element is None:
            raise ProfileError("an input is of a type that cannot be filled with noise; profile a model of numbers")
        size, address = ctypes.c_size_t(), _Handle()
        self._call("GetTensorBufferSize", buffer, ctypes.byref(size))
        self._call("LockTensorBuffer", buffer, ctypes.byref(address), WRITE)
        noise = _noise(np.dtype(element), size.value)
        ctypes.memmove(address, noise, len(noise))
        self._call("UnlockTensorBuffer", buffer)

    def _option(self, options: Any, name: str, text: str) -> None:
        """Hand over options as text; the runtime frees the copy."""
        opaque = _Handle()
        copy = _Handle(self._copy(text.encode()))
        free = ctypes.cast(self._free, _Handle)
        self._call("CreateOpaqueOptions", name.encode(), copy, free, ctypes.byref(opaque))
        self._call("AddOpaqueOptions", options, opaque)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, f"LiteRt{name}")
        except AttributeError as error:
            raise ProfileError(f"{LIBRARY} has no LiteRt{name}; install {PACKAGE}=={TRIED[-1]}.*") from error
        status = function(*arguments)
        if status:
            raise ProfileError(f"LiteRt{name} failed with status {status} ({STATUS.get(status, 'unknown')})")


def _close(ranked: Any) -> None:
    """Make one of each open side of a `LiteRtRankedTensorType`, as a file of an open batch size runs from the start."""
    words = ctypes.cast(ranked, ctypes.POINTER(ctypes.c_int32))
    first, rank = 2, words[1] & 0x7F  # behind the element type and the rank, 7 bits of a word of flags
    for at in range(first, first + rank):
        words[at] = 1 if words[at] < 0 else words[at]


STATUS = {
    1: "invalid argument",
    2: "out of memory",
    3: "runtime failure: the runtime cannot run this model",
    5: "unsupported",
    500: "the file cannot be read",
    501: "not a TFLite model",
    504: "compilation failed",
}
"""litert/c/litert_common.h."""


def _size(value: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(value)


def _noise(dtype: "np.dtype[Any]", size: int) -> bytes:
    """As many bytes of numbers between -1 and 1, or of small integers; the same ones every time."""
    rng = np.random.default_rng(0)
    count = size // dtype.itemsize
    if dtype.kind == "f":
        return rng.uniform(-1.0, 1.0, count).astype(dtype).tobytes()
    if dtype.itemsize == 1 and dtype.kind in "iu":
        return rng.integers(0, 256, count, dtype=np.uint8).tobytes()
    return rng.integers(0, 2, count).astype(dtype).tobytes()


def names(events: Sequence[Event]) -> list[tuple[str, int, int]]:
    """Return what must be the same in every run: names, kinds and numbers."""
    return [(event.name, event.kind, event.index) for event in events]
