"""Ids as requests write them → rows of tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrec.errors import DataError


class IdLookup(tf.Module):
    """Raw id → row; unknown ids get the row behind the last."""

    def __init__(self, ids: np.ndarray, path: Path) -> None:
        """Build the lookup; `path` is a scratch file that becomes an asset of the SavedModel.

        Raises:
            DataError: an id holds an end of line, which the file cannot.

        """
        super().__init__(name="id_lookup")
        self.size = len(ids)
        broken = next((token for token in ids if b"\n" in token or b"\r" in token), None)
        if broken is not None:
            raise DataError(f"{path.stem}: {broken!r} holds an end of line and cannot be exported; clean the log")
        path.write_bytes(b"".join(token + b"\n" for token in ids))
        initializer = tf.lookup.TextFileInitializer(
            str(path),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
            vocab_size=self.size,
        )
        self._table = tf.lookup.StaticHashTable(initializer, default_value=self.size)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """String [...] → int64 [...]."""
        return self._table.lookup(ids)
