"""The lists that metrics were computed from, kept as Parquet: any metric can be computed again, and by anyone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfrec.errors import ArtifactError
from tfrec.metrics.lists import NO_ITEM, RankedLists


def write_lists(path: Path, lists: RankedLists) -> None:
    """One row per user: `user_index`, `items`, `scores`, `relevant`; item indices are rows of the dataset's items/."""
    lengths = (lists.items != NO_ITEM).sum(axis=1)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    is_there = lists.items != NO_ITEM
    table = pa.table(
        {
            "user_index": pa.array(lists.users, pa.int64()),
            "items": pa.ListArray.from_arrays(splits, pa.array(lists.items[is_there], pa.int32())),
            "scores": pa.ListArray.from_arrays(splits, pa.array(lists.scores[is_there], pa.float32())),
            "relevant": pa.ListArray.from_arrays(
                pa.array(lists.relevant_splits, pa.int32()), pa.array(lists.relevant_items, pa.int32())
            ),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    pq.write_table(table, temporary)
    temporary.replace(path)


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
        raise ArtifactError(f"{path}: absent; evaluate with: python -m trainer.evaluate") from None
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: damaged ({str(error).splitlines()[0]}); evaluate again") from None
