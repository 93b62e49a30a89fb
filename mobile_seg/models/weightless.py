"""Networks without their numbers, to count and to draw: a large one is built in seconds, and in no memory."""

import contextlib
from collections.abc import Iterator

import keras
from keras.src.backend.common import global_state

_WAITING = "uninitialized_variables"


@contextlib.contextmanager
def weightless() -> Iterator[None]:
    """Inside, models are built with every shape and name, but their weights have no values and never get any."""
    before = list(global_state.get_global_attribute(_WAITING) or ())
    with keras.StatelessScope(initialize_variables=False):
        try:
            yield
        finally:
            # Keras keeps a list of variables to fill in when some later scope ends, and would fill in these.
            global_state.set_global_attribute(_WAITING, before)
