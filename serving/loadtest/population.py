"""Who asks, and about which items."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from serving.dataset_tables import Array, DatasetTables
from tfrec.errors import ConfigError

DrawnBy = Literal["activity", "uniform"]
_EVENT_COUNT = "event_count"


@dataclasses.dataclass(frozen=True)
class Population:
    """Users with how often each asks, relatively, and items for candidates and exclusions (there may be none)."""

    user_ids: Array
    weights: Array
    item_ids: Array

    def draw_users(self, number: int, unknown_share: float, draw: np.random.Generator) -> list[str]:
        """So many users, with replacement, by weight; a share of them are users that no model has seen."""
        drawn = draw.choice(self.user_ids, size=number, p=self.weights / self.weights.sum())
        is_unknown = draw.random(number) < unknown_share
        return [f"unknown-{i}" if unknown else str(user) for i, (user, unknown) in enumerate(zip(drawn, is_unknown))]


def population_of_dataset(dataset: Path, drawn_by: DrawnBy) -> Population:
    """The users and items of a dataset directory. Raises ArtifactError where it is none."""
    tables = DatasetTables(dataset)
    user, item = f"raw/{tables.schema.user_id}", f"raw/{tables.schema.item_id}"
    one_id = tf.io.FixedLenFeature([], tf.string)
    count = tf.io.FixedLenFeature([], tf.int64, 0)
    users = tables.columns("users", {user: one_id, _EVENT_COUNT: count})
    items = tables.columns("items", {item: one_id})
    return _population(_texts(users[user]), users[_EVENT_COUNT], _texts(items[item]), drawn_by, str(dataset))


def population_of_files(users: Path, items: Path | None) -> Population:
    """Users, and items, from files with one id a line; every user asks as often."""
    user_ids = _lines("--users", users)
    item_ids = _lines("--items", items) if items is not None else np.array([], object)
    return _population(user_ids, np.ones(len(user_ids)), item_ids, "uniform", str(users))


def _population(user_ids: Array, counts: Array, item_ids: Array, drawn_by: DrawnBy, where: str) -> Population:
    if not len(user_ids):
        raise ConfigError(f"{where}: has no users; name another")
    # Users of whom only the table of users knows ask too, but seldom.
    weights = np.maximum(counts.astype(np.float64), 1.0) if drawn_by == "activity" else np.ones(len(user_ids))
    return Population(user_ids, weights, item_ids)


def _texts(values: Array) -> Array:
    return np.array([value.decode() for value in values], dtype=object)


def _lines(flag: str, path: Path) -> Array:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{flag}: {path}: cannot be read ({error}); name a text file with one id a line") from None
    return np.array([line.strip() for line in lines if line.strip()], dtype=object)
