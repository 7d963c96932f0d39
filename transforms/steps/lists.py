"""Lists of different lengths as Arrow has them: flat values and offsets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def list_array(lengths: np.ndarray, flat: np.ndarray) -> pa.Array:
    """The values of `flat` cut into lists of the given lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
