"""Loaded first, so that `tfrec` chooses the Keras generation before any test imports TensorFlow."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tfrec  # noqa: F401
