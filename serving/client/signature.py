"""What a signature takes, as a client needs it: dtypes, ranks and defaults, without TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

# The dtypes that models of this package have inputs of, by the names of TensorFlow's enum; text is an object array.
_DTYPES: dict[str, np.dtype[Any]] = {
    "DT_STRING": np.dtype(object),
    "DT_BOOL": np.dtype(np.bool_),
    "DT_FLOAT": np.dtype(np.float32),
    "DT_DOUBLE": np.dtype(np.float64),
    "DT_INT32": np.dtype(np.int32),
    "DT_INT64": np.dtype(np.int64),
    "DT_INT16": np.dtype(np.int16),
    "DT_INT8": np.dtype(np.int8),
    "DT_UINT8": np.dtype(np.uint8),
    "DT_UINT16": np.dtype(np.uint16),
    "DT_UINT32": np.dtype(np.uint32),
    "DT_UINT64": np.dtype(np.uint64),
}


def numpy_dtype(name: str) -> np.dtype[Any] | None:
    """The dtype of TensorFlow's enum in NumPy; None for one that no client sends."""
    return _DTYPES.get(name)


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """One input: its dtype (None: one that no client sends), and its rank with the batch."""

    dtype: np.dtype[Any] | None
    rank: int


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs of a signature, the defaults of those that may be left out, and the names of its outputs."""

    inputs: Mapping[str, InputSpec]
    defaults: Mapping[str, Array]
    outputs: tuple[str, ...]


def text_of(value: bytes | str) -> str:
    """A text of an answer: bytes over gRPC, over REST what they are."""
    return value.decode() if isinstance(value, bytes) else value
