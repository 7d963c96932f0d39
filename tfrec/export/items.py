"""The `items` signature: what people want to see of an item, by its id."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays, Tensors
from tfrec.export.id_lookup import IdLookup
from tfrec.export.signature import Input, signature_function


def display_signature(lookup: IdLookup, display: Arrays) -> Any:
    """`item_ids` string [batch] → `is_known` bool [batch] and each text feature, string [batch]; "" if unknown."""
    columns = {
        name: tf.Variable(np.append(values, b""), trainable=False, dtype=tf.string, name=f"display/{name}")
        for name, values in display.items()
    }

    def compute(request: Tensors) -> Tensors:
        rows = lookup(request["item_ids"])
        shown = {name: tf.gather(column, rows) for name, column in columns.items()}
        return {**shown, "is_known": rows < lookup.size}

    function = signature_function(compute, {"item_ids": Input(tf.TensorSpec([None], tf.string))})
    lookup.display = list(columns.values())  # so that the SavedModel keeps them
    return function
