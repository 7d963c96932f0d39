"""The tables of a dataset directory, `users/` and `items/`, as whatever serves or asks a model reads them."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.errors import ArtifactError
from tfrec.schema import Schema

Array = np.ndarray[Any, np.dtype[Any]]
_BATCH = 8192


class DatasetTables:
    """What a finished `transforms.run` wrote. Raises ArtifactError where it is no dataset, or its files are damaged."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._manifest = json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ArtifactError(
                f"{path}: not a dataset (no manifest.json); write one with: python -m transforms.run"
            ) from None
        self.schema = Schema.load(self.path / "schema.json")

    def examples(self, table: str) -> Iterator[Any]:
        """Yield each row of `users` or `items` in order: a map from column to tf.train.Feature."""
        for _, batch in self._batches(table):
            for serialized in batch:
                yield tf.train.Example.FromString(serialized).features.feature

    def columns(self, table: str, columns: Mapping[str, Any]) -> dict[str, Array]:
        """Return columns of all rows of `users` or `items`, in order; `columns` are parsing specs of tf.io by name.

        Lists of several lengths come as an object array of arrays.
        """
        batches = []
        for path, batch in self._batches(table):
            with _damage_named(path):
                parsed = tf.io.parse_example(batch, dict(columns))
            batches.append({name: _rows(column) for name, column in parsed.items()})
        return {
            name: np.concatenate([batch[name] for batch in batches]) if batches else np.array([], object)
            for name in columns
        }

    def _batches(self, table: str) -> Iterator[tuple[Path, Array]]:
        """Yield serialized rows, many at a time, with the file that has them."""
        entries = self._manifest.get("files", {}).get(table)
        if entries is None:
            raise ArtifactError(f"{self.path / 'manifest.json'}: lists no files of {table}; rerun the transforms")
        for entry in entries:
            path = self.path / table / entry["name"]
            records = tf.data.TFRecordDataset(str(path), "GZIP" if path.suffix == ".gz" else "").batch(_BATCH)
            with _damage_named(path):
                for batch in records.as_numpy_iterator():
                    yield path, batch


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        words = " ".join((error.message or "").split())[:200]
        raise ArtifactError(
            f"{path}: cannot be read ({words}); copy the dataset again or rerun the transforms"
        ) from None


def _rows(column: Any) -> Array:
    if not isinstance(column, tf.RaggedTensor):
        return np.asarray(column.numpy())
    rows = np.empty(int(column.nrows()), dtype=object)
    values, splits = column.flat_values.numpy(), column.row_splits.numpy()
    for row, (first, last) in enumerate(itertools.pairwise(splits)):
        rows[row] = values[first:last]
    return rows
