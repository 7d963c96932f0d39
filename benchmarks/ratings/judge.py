"""Errors of predicted ratings, the same judge for all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.ratings.splits import Ratings
from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.errors import DataError

KEY = 1 << 32  # ids of users and items are smaller


@dataclass(frozen=True)
class Errors:
    """Over all ratings of a test set; `unseen` is the number of those with a user or item that training has not."""

    rmse: float
    mae: float
    unseen: int


def errors(train: Ratings, test: Ratings, predicted: np.ndarray) -> Errors:
    """RMSE and MAE, where unseen users and items are answered with the global mean of training, whatever was predicted.

    Args:
        train: what was learnt from.
        test: the truth.
        predicted: in the order of `test`.

    """
    is_seen = np.isin(test.users, train.users) & np.isin(test.items, train.items)
    found = np.where(is_seen, predicted, train.values.mean()) - test.values
    return Errors(float(np.sqrt(np.mean(found**2))), float(np.abs(found).mean()), int((~is_seen).sum()))


def global_mean(train: Ratings, test: Ratings) -> np.ndarray:
    return np.full(len(test.values), train.values.mean())


def item_mean(train: Ratings, test: Ratings) -> np.ndarray:
    """Each item's mean in training, the global mean for a new one."""
    items, numbers = np.unique(np.concatenate([train.items, test.items]), return_inverse=True)
    of_train, of_test = numbers[: len(train.items)], numbers[len(train.items) :]
    counts = np.bincount(of_train, minlength=len(items))
    sums = np.bincount(of_train, train.values, minlength=len(items))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), train.values.mean())
    return np.asarray(means[of_test])


BASELINES = {"global mean": global_mean, "item mean": item_mean}


def read_predictions(job: Path, dataset: Path, test: Ratings) -> np.ndarray:
    """What a job predicted, in the order of `test`. float64 [ratings]

    Raises:
        DataError: other ratings were predicted than those of the test set.

    """
    table = pq.read_table(job / "predictions" / "test.ratings.parquet")
    ids = {}
    directory = DatasetDirectory(dataset)
    for part, name, index in (("users", "user", "user_index"), ("items", "item", "item_index")):
        raw = read_part(directory, part, (RAW_PREFIX + name,))[RAW_PREFIX + name].astype(np.int64)
        ids[name] = raw[table[index].to_numpy()]
    keys, wanted = ids["user"] * KEY + ids["item"], test.users * KEY + test.items
    order, places = np.argsort(keys, kind="stable"), np.argsort(wanted, kind="stable")
    if not np.array_equal(keys[order], wanted[places]):
        raise DataError(f"{job}: {len(keys):,} ratings were predicted that are not the {len(wanted):,} of the test set")
    found = np.empty(len(test.values))
    found[places] = table["prediction"].to_numpy()[order]
    return found
