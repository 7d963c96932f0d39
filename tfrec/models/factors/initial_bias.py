"""Biases of items that start with the items' popularity, as the last column of their table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.models.inputs import ModelInputs


def log_counts(inputs: ModelInputs) -> np.ndarray:
    """Log of the training events of each item id, of mean 0 over those with any; 0 for the others. float32 [num_ids]"""
    name = inputs.schema.item_id
    ids, counts = inputs.catalogue.features[name], inputs.train.item_counts()
    of_id = np.bincount(ids, weights=counts, minlength=inputs.num_ids[name])
    is_taken = of_id > 0
    found = np.zeros(len(of_id), np.float32)
    if is_taken.any():
        logs = np.log(of_id[is_taken])
        found[is_taken] = logs - logs.mean()
    return found


def with_bias(rows: Callable[..., tf.Tensor], column: np.ndarray) -> Callable[..., tf.Tensor]:
    """First values of a table with a further column; like `normal_rows`, whole or a shard at a time.

    Args:
        rows: first values of the other columns.
        column: float32 [rows].

    """

    def initial(shape: Any = None, dtype: Any = None, **partition: Any) -> tf.Tensor:
        values = rows(shape, dtype, **partition)
        first = int(partition["partition_offset"][0]) if partition else 0
        return tf.concat([values, column[first : first + values.shape[0], None]], axis=1)

    return initial
