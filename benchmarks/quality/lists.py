"""Lists on their way from a library to the judge: raw ids in a NumPy file (NumPy alone is needed here)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.quality.splits import QuerySet, Splits

LISTED = 100
NOTHING = ""  # in a place past the end of a list


@dataclass(frozen=True)
class RawLists:
    """One list per user, best first.

    Attributes:
        users: raw ids. str [users]
        items: raw ids, `NOTHING` past the end of a list. str [users, listed]

    """

    users: np.ndarray
    items: np.ndarray


def write_raw_lists(path: Path, lists: RawLists) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, users=lists.users, items=lists.items)


def read_raw_lists(path: Path) -> RawLists:
    with np.load(path) as found:
        return RawLists(found["users"], found["items"])


def asked_users(splits: Splits, asked: QuerySet) -> np.ndarray:
    """Indices of the users who have an event in the asked split, ascending."""
    return np.unique(splits.events[asked.asked].users)


def named(splits: Splits, users: np.ndarray, items: np.ndarray) -> RawLists:
    """Lists of indices by their raw ids; an item index below 0 is no item."""
    names = np.append(splits.items, NOTHING)
    return RawLists(splits.users[users], names[np.where(items < 0, len(splits.items), items)])


def best_unseen(scores: np.ndarray, seen: np.ndarray, length: int = LISTED) -> np.ndarray:
    """Item indices of the best scores of each row without the seen ones, −1 past the end; ties to the lower index.

    Args:
        scores: higher is better, −inf or NaN where an item must not be listed. float [users, items]
        seen: bool [users, items]
        length: of a list.

    """
    kept = np.where(seen | np.isnan(scores), -np.inf, scores)
    order = np.argsort(-kept, axis=1, kind="stable")[:, :length]
    return np.where(np.isneginf(np.take_along_axis(kept, order, axis=1)), -1, order)


def without_seen(listed: np.ndarray, seen: np.ndarray, length: int = LISTED) -> np.ndarray:
    """A library's own lists without seen items and gaps, −1 past the end.

    Args:
        listed: item indices, best first, −1 for none. int [users, longer]
        seen: bool [users, items]
        length: of a list.

    """
    is_kept = (listed >= 0) & ~np.take_along_axis(seen, np.maximum(listed, 0), axis=1)
    order = np.argsort(~is_kept, axis=1, kind="stable")[:, :length]
    return np.where(np.take_along_axis(is_kept, order, axis=1), np.take_along_axis(listed, order, axis=1), -1)


def taken(splits: Splits, names: Sequence[str], users: np.ndarray) -> np.ndarray:
    """Whether each of these users has an event with each item in these splits. bool [users, items]"""
    of_user, of_item = splits.pairs(names)
    place = np.full(len(splits.users), -1)
    place[users] = np.arange(len(users))
    is_asked = place[of_user] >= 0
    found = np.zeros((len(users), len(splits.items)), bool)
    found[place[of_user[is_asked]], of_item[is_asked]] = True
    return found
