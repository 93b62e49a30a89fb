"""What holds for every test: quiet TensorFlow, the exporting backend, Ctrl-C, repeatable property tests.

The environment is set here since TensorFlow and Keras read it when they are first imported.
"""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# A child `python -m …` started from the checkout must find the installed package too (Python 3.11 on).
os.environ.setdefault("PYTHONSAFEPATH", "1")

# A job in the background is started with Ctrl-C ignored, and its children are too; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: a slow machine is not a failure. Derandomized: CI tries the same examples every time.
settings.register_profile("mobile_seg", deadline=None, derandomize=True)
settings.load_profile("mobile_seg")


@pytest.fixture(autouse=True)
def _networks_are_let_go(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keras' models are cycles of few, large objects, which Python is in no hurry to find: gigabytes in slow tests."""
    yield
    if request.node.get_closest_marker("slow") is not None:
        gc.collect()
