"""A dataset whose splits were changed, beside the one that it was made from; all but the splits is shared."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tfrec.codec import frame_batches, pack_rows
from tfrec.dataset.directory import MANIFEST, DatasetDirectory, part_name
from tfrec.dataset.records import Arrays, read_part
from tfrec.errors import ConfigError
from tfrec.schema import SPLITS

Change = Callable[[str, Arrays], Arrays]  # (split, its records) → the same rows, changed


def changed_dataset(dataset: DatasetDirectory, target: Path, change: Change, sign: str) -> DatasetDirectory:
    """Write the dataset, or open it where an earlier run wrote it.

    Args:
        dataset: where rows come from.
        target: the new directory.
        change: of the records.
        sign: what was changed, which makes another dataset of it.

    Raises:
        ConfigError: another dataset is there, or the same one with another change.

    """
    fingerprint = hashlib.sha256(f"{dataset.fingerprint} {sign}".encode()).hexdigest()[:16]
    if (target / MANIFEST).exists():
        found = DatasetDirectory(target)
        if found.fingerprint != fingerprint:
            raise ConfigError(
                f"{target}: was made of another dataset, or has other features taken away; name another --output"
            )
        return found
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    manifest = {**dataset.manifest, "files": dict(dataset.manifest["files"]), "fingerprint": fingerprint}
    for entry in dataset.path.iterdir():
        if entry.name not in (*SPLITS, MANIFEST):
            (unfinished / entry.name).symlink_to(entry.resolve())
    for split in SPLITS:
        records = change(split, read_part(dataset, split))
        manifest["files"][split] = [_write(unfinished / split, records, dataset.rows_per_record(split))]
    # Last, for it says that the dataset is whole.
    (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    unfinished.rename(target)
    return DatasetDirectory(target)


def _write(directory: Path, records: Arrays, rows_per_record: int) -> dict[str, Any]:
    """One file with all rows of a split; its entry in the manifest."""
    directory.mkdir()
    path = directory / part_name(0, 1, is_compressed=False)
    table = pa.table({name: _column(values) for name, values in records.items()})
    size, digest = 0, hashlib.sha256()
    with path.open("wb") as file:
        for piece in frame_batches(pack_rows(table, rows_per_record)):
            file.write(piece.data)
            digest.update(piece.data)
            size += len(piece.data)
    return {"name": path.name, "records": table.num_rows, "bytes": size, "sha256": digest.hexdigest()}


def _column(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values, pa.binary() if values.dtype == object else None)
    ends = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
    return pa.LargeListArray.from_arrays(pa.array(ends), pa.array(values.ravel()))
