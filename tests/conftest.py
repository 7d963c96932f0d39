"""Loaded first, so that `tfrec` chooses the Keras generation before any test imports TensorFlow."""

import gc
import os
import signal
import subprocess
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

import tfrec  # noqa: E402, F401
from tests.loaded_python import LoadedPython, popen_of  # noqa: E402


def pytest_collection_finish():
    """What is loaded by now stays: the collector need not walk through it again with every graph that is built."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def loaded_python():
    loaded = LoadedPython()
    yield loaded
    loaded.end()


@pytest.fixture(scope="module")
def loaded_processes(loaded_python):
    """The module's `python -m …` processes begin with the libraries loaded; without it on other systems than Linux."""
    with pytest.MonkeyPatch.context() as patch:
        if sys.platform == "linux":
            patch.setattr(subprocess, "Popen", popen_of(loaded_python))
        yield
