"""What an encoded id stands for, in words."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from tfrec.dataset.directory import DatasetDirectory
from tfrec.schema import PADDING_ID
from trainer.report.names import range_text
from trainer.warm_start.vocabularies import Encoding, encoding_of, read_vocabulary

MISSING, UNKNOWN = "(missing)", "(unknown)"


class Spelling:
    """The ids of one feature."""

    def __init__(self, dataset: DatasetDirectory, feature: str) -> None:
        self._dataset = dataset
        self.encoding: Encoding = encoding_of(dataset, feature)

    @cached_property
    def tokens(self) -> pa.LargeBinaryArray:
        """The vocabulary, most frequent first; empty where there is none."""
        if self.encoding.kind != "vocabulary":
            return pa.array([], pa.large_binary())
        return read_vocabulary(self._dataset, self.encoding.source)

    @property
    def token_ids(self) -> np.ndarray:
        """The ids of the vocabulary, in its order. int64 [tokens]"""
        return self.encoding.first_token_id + np.arange(len(self.tokens), dtype=np.int64)

    def __call__(self, encoded: int) -> str:
        """`Drama`; `25 to below 37` of buckets; `bucket 7` of hashes."""
        encoding = self.encoding
        if encoded == PADDING_ID:
            return MISSING
        if encoding.kind == "vocabulary":
            place = encoded - encoding.first_token_id
            return self.tokens[place].as_py().decode("utf-8", "replace") if place >= 0 else UNKNOWN
        if encoding.kind == "buckets":
            return _bucket(encoding.boundaries, encoded)
        return f"bucket {encoded}" if encoding.kind == "hash" else str(encoded)


def _bucket(bounds: tuple[float, ...], encoded: int) -> str:
    """Bucket b holds bounds[b − 2] ≤ x < bounds[b − 1]."""
    ends = (None, *bounds, None)
    bucket = min(max(encoded, 1), len(bounds) + 1)
    return range_text(ends[bucket - 1], ends[bucket])
