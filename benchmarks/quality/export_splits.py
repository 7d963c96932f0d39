"""`python -m benchmarks.quality.export_splits`: the events of a dataset directory as split files."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.quality.splits import SPLITS, Events, Splits, write_splits
from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.schema import EVENT_POSITION, ITEM_INDEX, LABEL, USER_INDEX


def splits_of(dataset: DatasetDirectory) -> Splits:
    """All events, with the label as their rating."""
    schema = dataset.schema
    users, items = (
        _decoded(read_part(dataset, part)[RAW_PREFIX + name])
        for part, name in (("users", schema.user_id), ("items", schema.item_id))
    )
    return Splits(users, items, {split: _events(dataset, split) for split in SPLITS})


def _decoded(values: np.ndarray) -> np.ndarray:
    return np.array([one.decode() for one in values.tolist()], dtype=str)


def _events(dataset: DatasetDirectory, split: str) -> Events:
    records = read_part(dataset, split)
    order = np.lexsort((records[EVENT_POSITION], records[USER_INDEX]))
    users, items, positions = (records[name][order] for name in (USER_INDEX, ITEM_INDEX, EVENT_POSITION))
    ratings = records[LABEL][order] if LABEL in records else np.ones(len(order))
    return Events(users, items, ratings.astype(np.float64), positions)


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--dataset", required=True)
    flags.add_argument("--output", type=Path, required=True)
    chosen = flags.parse_args()
    write_splits(chosen.output, splits_of(DatasetDirectory(chosen.dataset)))
