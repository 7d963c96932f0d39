"""`python -m benchmarks.training.encoded_sets`: what a dataset directory holds, as files that every side can read."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.training.exchange import SPLITS, Field, write_pairs, write_set
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import list_width, read_part
from tfrec.models.inputs import id_counts
from tfrec.schema import EVENT_POSITION, ITEM_INDEX, USER_INDEX, SequenceFeature, VectorFeature, WeightsFeature


def export_set(dataset: DatasetDirectory, output: Path) -> None:
    """Write the fields of a ranking model and the label, the same rows in the same splits.

    What not every side can read is left out: sequences, vectors, weights of values.
    """
    rows, schema = id_counts(dataset), dataset.schema
    fields = {
        name: Field("number" if name not in rows else "id" if list_width(feature) is None else "ids", rows.get(name, 1))
        for name, feature in schema.encoded.items()
        if not isinstance(feature, SequenceFeature | VectorFeature | WeightsFeature)
    }
    splits = {split: read_part(dataset, split) for split in SPLITS}
    write_set(output, fields, splits, user=schema.user_id, item=schema.item_id)


def export_pairs(dataset: DatasetDirectory, output: Path) -> None:
    """Write who interacted with what, each user's events in order of time."""
    splits = {}
    for split in SPLITS:
        records = read_part(dataset, split)
        order = np.lexsort((records[EVENT_POSITION], records[USER_INDEX]))
        splits[split] = np.stack([records[USER_INDEX], records[ITEM_INDEX]], axis=1)[order]
    write_pairs(output, dataset.rows("users"), dataset.rows("items"), splits)


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--dataset", required=True)
    flags.add_argument("--form", choices=("set", "pairs"), required=True)
    flags.add_argument("--output", type=Path, required=True)
    chosen = flags.parse_args()
    (export_set if chosen.form == "set" else export_pairs)(DatasetDirectory(chosen.dataset), chosen.output)
