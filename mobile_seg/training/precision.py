"""Mixed precision: compute in bfloat16, keep the weights in float32."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def dtype_policy(*, mixed: bool) -> Iterator[None]:
    """Layers built inside compute in bfloat16 if `mixed`, else in float32; the policy before comes back.

    bfloat16 has float32's range, so the loss needs no scaling.
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def in_float32(trained: Any, untrained: Callable[[], Any]) -> Any:
    """The network that `untrained` builds, computing in float32, with the weights of the trained one."""
    with dtype_policy(mixed=False):
        network = untrained()
    network.set_weights(trained.get_weights())
    return network
