"""Loaded first, so that `tfrec` chooses the Keras generation before any test imports TensorFlow."""

import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

import tfrec  # noqa: E402, F401
