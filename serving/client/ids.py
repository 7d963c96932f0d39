"""Ids as the models know them: text, however a caller's table spells them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrec.errors import ConfigError

Id = str | int
Ids = Sequence[Any] | np.ndarray[Any, np.dtype[Any]]


def id_text(value: Any) -> str:
    """Return an id as the transforms write it: 42 and 42.0 are `42`, since a table with gaps makes floats of ids.

    Raises ConfigError for what can't be an id.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float | np.floating) and math.isfinite(value) and float(value).is_integer():
        return str(int(value))
    raise ConfigError(f"an id is text or a whole number; got {value!r}")
