"""The delegates by name."""

from mobile_seg.errors import UsageError, choose
from mobile_seg.profiling.delegates.coreml import COREML
from mobile_seg.profiling.delegates.edgetpu import EDGETPU
from mobile_seg.profiling.delegates.ethos_u import ETHOS_U
from mobile_seg.profiling.delegates.gpu import GPU
from mobile_seg.profiling.delegates.nnapi import nnapi
from mobile_seg.profiling.delegates.qnn import QNN
from mobile_seg.profiling.delegates.rules import Delegate
from mobile_seg.profiling.delegates.xnnpack import XNNPACK

DELEGATES: dict[str, Delegate] = {one.name: one for one in (XNNPACK, GPU, nnapi(), EDGETPU, COREML, QNN, ETHOS_U)}


def find(name: str) -> Delegate:
    """Return a delegate by its name; NNAPI's may hold an Android API level, as in `nnapi:29`.

    Raises:
        UsageError: for an unknown name or level.
    """
    kind, _, level = name.partition(":")
    choose("--delegate", kind, tuple(DELEGATES))
    if not level:
        return DELEGATES[kind]
    if kind != "nnapi":
        raise UsageError(f"--delegate {name!r}: only nnapi takes a level; write {kind}")
    if not level.isdecimal():
        raise UsageError(f"--delegate {name!r}: the level is an Android API level, as in nnapi:29")
    return nnapi(int(level))
