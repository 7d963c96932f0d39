"""The inputs of a model's signature, and their tensors for a batch of requests.

A request carries every input, the optional ones with the model's default repeated for each row: a server that
batches requests joins them along the first dimension, and so wants it equal in all inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving import tensors
from serving.tensors import Array
from tfrec.errors import ConfigError, did_you_mean

# TF Serving pads a shorter list with the request's first element: with this one, which models ignore.
PADDING = ""
_BOOLEANS = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}


class SignatureInputs:
    """The inputs of one signature: which there are, of which dtype and rank, and their defaults.

    `controls` are the inputs that are not features, such as `k`; of the others, the one without a default is
    the user id. Raises ConfigError when that isn't one input.
    """

    def __init__(self, owner: str, definition: Any, controls: frozenset[str]) -> None:
        self._owner = owner
        self._infos = definition.inputs
        self._defaults = {name: tensors.decode(proto) for name, proto in definition.defaults.items()}
        self._controls = controls & set(self._infos)
        required = sorted(set(self._infos) - self._defaults.keys() - controls)
        if len(required) != 1:
            raise ConfigError(
                f"{owner}: expected one input without a default, the user id; got {required or 'none'}; "
                "send this model's tensors with a plain Predict call"
            )
        self.user_input = required[0]

    def make(
        self,
        users: Sequence[str],
        controls: Mapping[str, Array | None],
        features: Mapping[str, Any],
        *,
        is_single: bool,
    ) -> dict[str, tensor_pb2.TensorProto]:
        """Return every input's tensor for `users`, one row each.

        A control that is None takes the model's default. A feature is one value for all users, or one per
        user; for a single user (`is_single`) a list is the one user's multi-valued feature.
        """
        arrays: dict[str, Array] = {self.user_input: np.array(users, dtype=object)}
        for name, array in controls.items():
            if array is None:
                continue
            if name not in self._controls:
                raise ConfigError(f"{self._owner} takes no {name!r}; export the model again to have it")
            arrays[name] = array
        feature_names = set(self._infos) - self._controls - {self.user_input}
        for name, value in features.items():
            if name not in feature_names:
                raise ConfigError(f"{self._owner}: unknown feature {name!r}{did_you_mean(name, feature_names)}")
            arrays[name] = self._feature(name, value, len(users), is_single)
        for name in set(self._infos) - arrays.keys():
            arrays[name] = self._default(name, len(users))
        return {name: tensors.encode(array) for name, array in arrays.items()}

    def _default(self, name: str, num_rows: int) -> Array:
        if name not in self._defaults:
            raise ConfigError(f"{self._owner}: input {name!r} has no default and is not given")
        return np.repeat(self._defaults[name], num_rows, axis=0)

    def _feature(self, name: str, value: Any, num_rows: int, is_single: bool) -> Array:
        is_list = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)
        rows = list(value) if is_list and not is_single else [value] * num_rows
        if len(rows) != num_rows:
            raise ConfigError(f"feature {name!r}: got {len(rows)} values for {num_rows} users; pass one each")
        info = self._infos[name]
        dtype = tf.dtypes.as_dtype(info.dtype)
        is_multi_valued = len(info.tensor_shape.dim) > 1
        if is_multi_valued and dtype == tf.string:
            return padded_rows([[row] if isinstance(row, str | bytes) else row for row in rows])
        if is_multi_valued and dtype != tf.bool:
            rows = _evenly_long(rows, math.nan if dtype.is_floating else 0)
        try:
            array = _column(rows, dtype)
        except (TypeError, ValueError, KeyError):
            kind = {tf.string: "text", tf.bool: "true or false"}.get(dtype, f"{dtype.name} numbers")
            raise ConfigError(f"feature {name!r}: got {value!r}; expected {kind}, one per user") from None
        if is_multi_valued and array.ndim == 1:
            return array[:, np.newaxis]
        if array.ndim > (2 if is_multi_valued else 1):
            wanted = "a list of values" if is_multi_valued else "one value"
            raise ConfigError(f"feature {name!r} takes {wanted}; got {value!r}")
        return array


def padded_rows(rows: Sequence[Sequence[Any]], prefix: Sequence[str] = ()) -> Array:
    """Return lists of ids as string [batch, n], each behind `prefix`, the shorter ones padded with ""."""
    texts = [[*prefix, *(str(value) for value in row)] for row in rows]
    width = max((len(row) for row in texts), default=0)
    padded = np.full((len(texts), width), PADDING, dtype=object)
    for i, row in enumerate(texts):
        padded[i, : len(row)] = row
    return padded


def _evenly_long(rows: Sequence[Any], missing: float) -> list[Any]:
    """Lists of numbers, the shorter ones padded with what stands for a missing one."""
    lists = [list(row) if isinstance(row, list | tuple | np.ndarray) else [row] for row in rows]
    width = max(map(len, lists), default=0)
    return [row + [missing] * (width - len(row)) for row in lists]


def _column(rows: Sequence[Any], dtype: tf.dtypes.DType) -> Array:
    """Return values, or their spelling as text, as an array; raise where NumPy would guess."""
    if dtype == tf.string:
        return np.array([_text(row) for row in rows], dtype=object)
    if dtype == tf.bool:
        return np.array([_BOOLEANS[row.lower() if isinstance(row, str) else row] for row in rows], dtype=bool)
    array = np.array(rows, dtype=dtype.as_numpy_dtype)
    if dtype.is_integer and not np.array_equal(array, np.array(rows, dtype=np.float64)):
        raise ValueError("not whole numbers")
    return array


def _text(value: Any) -> str | bytes:
    if not isinstance(value, str | bytes | int | float):
        raise TypeError(value)
    return value if isinstance(value, bytes) else str(value)
