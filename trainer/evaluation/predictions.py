"""The lists that metrics were computed from, kept as Parquet: any metric can be computed again, and by anyone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfrec.errors import ArtifactError
from tfrec.metrics.lists import NO_ITEM, RankedLists

SCHEMA = pa.schema(
    {
        "user_index": pa.int64(),
        "items": pa.list_(pa.int32()),
        "scores": pa.list_(pa.float32()),
        "relevant": pa.list_(pa.int32()),
    }
)


def write_lists(path: Path, lists: RankedLists) -> None:
    """One row per user: `user_index`, `items`, `scores`, `relevant`; item indices are rows of the dataset's items/."""
    with ListsFile(path) as file:
        file.write(lists)


class ListsFile:
    """A file of lists that comes chunk by chunk; it stands under its name when all of it is written."""

    def __init__(self, path: Path) -> None:
        self._path, self._temporary = path, path.with_name(path.name + ".tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._temporary, SCHEMA)

    def write(self, lists: RankedLists) -> None:
        """Add users."""
        is_there = lists.items != NO_ITEM
        splits = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))]).astype(np.int32)
        columns = [
            pa.array(lists.users, pa.int64()),
            pa.ListArray.from_arrays(splits, pa.array(lists.items[is_there], pa.int32())),
            pa.ListArray.from_arrays(splits, pa.array(lists.scores[is_there], pa.float32())),
            pa.ListArray.from_arrays(
                pa.array(lists.relevant_splits, pa.int32()), pa.array(lists.relevant_items, pa.int32())
            ),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))

    def __enter__(self) -> ListsFile:
        return self

    def __exit__(self, error: type[BaseException] | None, *more: object) -> None:
        self._writer.close()
        if error is None:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink()


def read_lists(path: Path) -> RankedLists:
    """Read what `write_lists` wrote.

    Raises:
        ArtifactError: the file is absent or damaged.

    """
    try:
        table = pq.read_table(path).combine_chunks()
        items, scores, relevant = (table[name].combine_chunks() for name in ("items", "scores", "relevant"))
        splits = items.offsets.to_numpy().astype(np.int64)
        lengths = np.diff(splits)
        shape = (len(lengths), int(lengths.max(initial=0)))
        is_there = np.arange(shape[1]) < lengths[:, None]
        found_items = np.full(shape, NO_ITEM, np.int64)
        found_items[is_there] = items.flatten().to_numpy()
        found_scores = np.full(shape, -np.inf, np.float32)
        found_scores[is_there] = scores.flatten().to_numpy()
        return RankedLists(
            table["user_index"].to_numpy().astype(np.int64),
            found_items,
            found_scores,
            relevant.offsets.to_numpy().astype(np.int64),
            relevant.flatten().to_numpy().astype(np.int64),
        )
    except FileNotFoundError:
        raise ArtifactError(
            f"{path}: absent; write it with: python -m trainer.evaluate --job-dir JOB --output JOB"
        ) from None
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: damaged ({str(error).splitlines()[0]}); evaluate again") from None
