"""Split files: what every side learns from, as text that any library can read (NumPy alone is needed here).

splits/
  users.txt items.txt                  one raw id a line; the line is the index that the dataset directory uses
  train.tsv validation.tsv test.tsv    user, item, rating, position: raw ids, the position is the event's place in
                                       its user's log; rows by user, then by position
  about.json                           comes last and tells that the rest is whole
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "validation", "test")
HEADER = "user\titem\trating\tposition\n"


@dataclass(frozen=True)
class Events:
    """Events of a split, by user and then by position; all [events].

    Attributes:
        users, items: indices. int64
        ratings: 1 where the log has none. float64
        positions: places in their user's log. int64

    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Splits:
    """Raw ids in the order of their indices, and the events of each split."""

    users: np.ndarray
    items: np.ndarray
    events: dict[str, Events]

    def pairs(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(user indices, item indices) of several splits, one split after the other."""
        chosen = [self.events[name] for name in names]
        return np.concatenate([part.users for part in chosen]), np.concatenate([part.items for part in chosen])


@dataclass(frozen=True)
class QuerySet:
    """What is asked of each user who has an event in the split `asked`.

    Attributes:
        name: as the trainer calls it.
        asked: the split whose items should be found.
        read: splits that a model may read of the user when it answers; it learns from train alone.
        seen: splits whose items are left out of the user's list.

    """

    name: str
    asked: str
    read: tuple[str, ...]
    seen: tuple[str, ...]


QUERY_SETS = (
    QuerySet("validation", "validation", ("train",), ("train",)),
    QuerySet("test", "test", ("train", "validation"), ("train", "validation")),
    QuerySet("test_training_history", "test", ("train",), ("train", "validation")),
)


def write_splits(directory: Path, splits: Splits) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, ids in (("users", splits.users), ("items", splits.items)):
        (directory / f"{name}.txt").write_text("".join(f"{one}\n" for one in ids), encoding="utf-8")
    for name, events in splits.events.items():
        rows = zip(
            splits.users[events.users].tolist(),
            splits.items[events.items].tolist(),
            events.ratings.tolist(),
            events.positions.tolist(),
            strict=True,
        )
        lines = "".join(f"{user}\t{item}\t{rating:g}\t{position}\n" for user, item, rating, position in rows)
        (directory / f"{name}.tsv").write_text(HEADER + lines, encoding="utf-8")
    about = {"users": len(splits.users), "items": len(splits.items)}
    about |= {name: len(events) for name, events in splits.events.items()}
    (directory / "about.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


def read_splits(directory: Path) -> Splits:
    users, items = (_lines(directory / f"{name}.txt") for name in ("users", "items"))
    of_user, of_item = ({one: index for index, one in enumerate(ids)} for ids in (users, items))
    events = {}
    for name in SPLITS:
        rows = [line.split("\t") for line in _lines(directory / f"{name}.tsv")[1:]]
        events[name] = Events(
            np.array([of_user[row[0]] for row in rows], np.int64),
            np.array([of_item[row[1]] for row in rows], np.int64),
            np.array([float(row[2]) for row in rows]),
            np.array([int(row[3]) for row in rows], np.int64),
        )
    return Splits(np.array(users, dtype=str), np.array(items, dtype=str), events)


def _lines(path: Path) -> list[str]:
    # Not splitlines(), which also ends lines at signs that an id may hold.
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
