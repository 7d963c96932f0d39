"""A dataset's users and items, as far as requests need them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.errors import ArtifactError
from tfrec.schema import Schema

Array = np.ndarray[Any, np.dtype[Any]]
_BATCH = 8192


def dataset_schema(dataset: Path) -> Schema:
    """The schema of a dataset directory. Raises ArtifactError where there is none."""
    if not (dataset / "manifest.json").exists():
        raise ArtifactError(f"{dataset}: not a dataset (no manifest.json); write one with: python -m transforms.run")
    return Schema.load(dataset / "schema.json")


def read_rows(dataset: Path, part: str, columns: Mapping[str, Any]) -> dict[str, Array]:
    """Columns of all rows of `users` or `items`, in order; `columns` are parsing specs of tf.io by name.

    Lists of several lengths come as an object array of arrays. Raises ArtifactError for files that are not there, or
    hold something else.
    """
    try:
        manifest = json.loads((dataset / "manifest.json").read_text(encoding="utf-8"))
        files = [str(dataset / part / entry["name"]) for entry in manifest["files"][part]]
        kind = "GZIP" if files and files[0].endswith(".gz") else ""
        records = tf.data.TFRecordDataset(files, compression_type=kind).batch(_BATCH)
        batches = [
            {name: _rows(column) for name, column in tf.io.parse_example(batch, dict(columns)).items()}
            for batch in records
        ]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"{dataset / part}: cannot be read ({reason}); copy the dataset again or rerun the transforms"
        ) from None
    return {
        name: np.concatenate([batch[name] for batch in batches]) if batches else np.array([], object)
        for name in columns
    }


def _rows(column: Any) -> Array:
    if not isinstance(column, tf.RaggedTensor):
        return np.asarray(column.numpy())
    rows = np.empty(int(column.nrows()), dtype=object)
    values, splits = column.flat_values.numpy(), column.row_splits.numpy()
    for row, (first, last) in enumerate(itertools.pairwise(splits)):
        rows[row] = values[first:last]
    return rows
