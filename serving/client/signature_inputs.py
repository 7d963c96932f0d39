"""The inputs of a model's signature, and their arrays for a batch of requests.

A request carries every input, the optional ones with the model's default repeated for each row: a server that
batches requests joins them along the first dimension, and so wants it equal in all inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from serving.client.ids import id_text
from serving.client.signature import Array, InputSpec, Signature
from tfrec.errors import ConfigError, did_you_mean

# TF Serving pads a shorter list with the request's first element: with this one, which models ignore.
PADDING = ""
_BOOLEANS = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}

Stored = Sequence[Mapping[str, Any]]


class SignatureInputs:
    """The inputs of one signature: which there are, of which dtype and rank, and their defaults.

    `controls` are the inputs that are not features, such as `k`; of the others, the one without a default is
    the id. Raises ConfigError when that isn't one input.
    """

    def __init__(self, owner: str, signature: Signature, controls: frozenset[str] = frozenset()) -> None:
        self._owner = owner
        self._specs = signature.inputs
        self._defaults = signature.defaults
        self._controls = controls & set(self._specs)
        required = sorted(set(self._specs) - self._defaults.keys() - controls)
        if len(required) != 1:
            raise ConfigError(
                f"{owner}: expected one input without a default, the id; got {required or 'none'}; "
                "send this model's tensors with a plain Predict call"
            )
        self.id_input = required[0]
        self.features = frozenset(self._specs) - self._controls - {self.id_input}

    def make(
        self,
        ids: Sequence[str],
        controls: Mapping[str, Array | None],
        features: Mapping[str, Any],
        *,
        stored: Stored = (),
        is_single: bool,
    ) -> dict[str, Array]:
        """Return every input's array for `ids`, one row each.

        A control that is None takes the model's default. A feature is one value for all ids, or one each; for a single
        id (`is_single`) a list is the one id's multi-valued feature. `stored` is what else is known of each id: the
        model takes what it has an input for and `features` does not say.
        """
        arrays: dict[str, Array] = {self.id_input: np.array(list(ids), dtype=object)}
        for name, array in controls.items():
            if array is None:
                continue
            if name not in self._controls:
                raise ConfigError(f"{self._owner} takes no {name!r}; export the model again to have it")
            arrays[name] = array
        for name, value in features.items():
            if name not in self.features:
                raise ConfigError(f"{self._owner}: unknown feature {name!r}{did_you_mean(name, self.features)}")
            arrays[name] = self._array(name, value, self._rows(name, value, len(ids), is_single))
        for name in self._specs.keys() - arrays.keys():
            if name in self.features and any(name in row for row in stored):
                default = self._default(name)[0]
                values = [row.get(name, default) for row in stored]
                arrays[name] = self._array(name, values, values)
            else:
                arrays[name] = np.repeat(self._default(name), len(ids), axis=0)
        return arrays

    def _default(self, name: str) -> Array:
        if name not in self._defaults:
            raise ConfigError(f"{self._owner}: input {name!r} has no default and is not given")
        return self._defaults[name]

    def _rows(self, name: str, value: Any, num_rows: int, is_single: bool) -> list[Any]:
        is_list = isinstance(value, Iterable) and not isinstance(value, str | bytes)
        rows = list(value) if is_list and not is_single else [value] * num_rows
        if len(rows) != num_rows:
            raise ConfigError(f"feature {name!r}: got {len(rows)} values for {num_rows} users; pass one each")
        return rows

    def _array(self, name: str, value: Any, rows: list[Any]) -> Array:
        spec = self._specs[name]
        if spec.dtype is None:
            raise ConfigError(f"{self._owner}: input {name!r} has a dtype that this client does not send")
        is_multi_valued, is_text = spec.rank > 1, spec.dtype.hasobject
        if is_multi_valued and not is_text and spec.dtype.kind != "b":
            rows = _evenly_long(rows, _missing(spec))
        try:
            if is_multi_valued and is_text:
                return padded_rows([_tokens(row) for row in rows], spell=_text)
            array = _column(rows, spec)
        except (TypeError, ValueError, KeyError):
            kind = "text" if is_text else "true or false" if spec.dtype.kind == "b" else f"{spec.dtype.name} numbers"
            raise ConfigError(f"feature {name!r}: got {value!r}; expected {kind}, one per user") from None
        if is_multi_valued and array.ndim == 1:
            return array[:, np.newaxis]
        if array.ndim > (2 if is_multi_valued else 1):
            wanted = "a list of values" if is_multi_valued else "one value"
            raise ConfigError(f"feature {name!r} takes {wanted}; got {value!r}")
        return array


def padded_rows(
    rows: Sequence[Iterable[Any]], prefix: Sequence[str] = (), spell: Callable[[Any], str] = id_text
) -> Array:
    """Return lists of ids as string [batch, n], each behind `prefix`, the shorter ones padded with ""."""
    texts = [[*prefix, *(spell(value) for value in row)] for row in rows]
    width = max((len(row) for row in texts), default=0)
    padded = np.full((len(texts), width), PADDING, dtype=object)
    for i, row in enumerate(texts):
        padded[i, : len(row)] = row
    return padded


def _tokens(row: Any) -> Iterable[Any]:
    """The tokens of a cell: a list as it is, one value alone, none of an empty cell."""
    if isinstance(row, Iterable) and not isinstance(row, str | bytes):
        return row
    return [] if _is_absent(row) else [row]


def _missing(spec: InputSpec) -> float:
    """The number that stands for "not there", as the models have it."""
    return math.nan if spec.dtype is not None and spec.dtype.kind == "f" else 0


def _evenly_long(rows: Sequence[Any], missing: float) -> list[Any]:
    """Lists of numbers, the shorter ones padded with what stands for a missing one."""
    lists = [list(row) if isinstance(row, list | tuple | np.ndarray) else [row] for row in rows]
    width = max(map(len, lists), default=0)
    return [row + [missing] * (width - len(row)) for row in lists]


def _column(rows: Sequence[Any], spec: InputSpec) -> Array:
    """Return values, or their spelling as text, as an array; raise where NumPy would guess."""
    assert spec.dtype is not None
    if spec.dtype.hasobject:
        return np.array([_text(row) for row in rows], dtype=object)
    if spec.dtype.kind == "b":
        return np.array([_BOOLEANS[row.lower() if isinstance(row, str) else row] for row in rows], dtype=bool)
    present = [_missing(spec) if _is_absent(row) else row for row in rows]
    array = np.array(present, dtype=spec.dtype)
    if spec.dtype.kind in "iu" and not np.array_equal(array, np.array(present, dtype=np.float64)):
        raise ValueError("not whole numbers")
    return array


def _is_absent(value: Any) -> bool:
    """Whether a table's cell holds nothing: None, NaN, or pandas' NA (which compares to no truth value)."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def _text(value: Any) -> str:
    if _is_absent(value):
        return PADDING
    if isinstance(value, float | np.floating) and not float(value).is_integer():
        return str(float(value))
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()  # as the transforms write a native boolean
    try:
        return id_text(value)
    except ConfigError:
        raise TypeError(value) from None
