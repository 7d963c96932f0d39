"""Encoded training sets on disk, in a form that every side can read with NumPy alone.

    data/
      about.json                    {"fields": {name: {"kind": "id" | "ids" | "number", "rows": table rows}},
                                     "user": name of a field, "item": name of a field}
      train/ validation/ test/      one <name>.npy a field, and label.npy

Ids are those of the dataset directory: 0 is missing or padding.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "validation", "test")
LABEL = "label"
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Field:
    """One input of a ranking model: an id, several ids (padded with 0), or a number."""

    kind: str
    rows: int = 1  # of its embedding table


def write_set(
    directory: Path,
    fields: dict[str, Field],
    splits: dict[str, Columns],
    *,
    user: str = "user_id",
    item: str = "item_id",
) -> None:
    """Write the columns of all fields and the label; about.json comes last and tells that the set is whole."""
    for split, columns in splits.items():
        (directory / split).mkdir(parents=True, exist_ok=True)
        for name in (*fields, LABEL):
            np.save(directory / split / f"{name}.npy", columns[name])
    about = {"fields": {name: asdict(field) for name, field in fields.items()}, "user": user, "item": item}
    (directory / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def read_fields(directory: Path) -> dict[str, Field]:
    about = json.loads((directory / "about.json").read_text(encoding="utf-8"))
    return {name: Field(**field) for name, field in about["fields"].items()}


def read_ids(directory: Path) -> tuple[str, str]:
    """Names of the fields that are taken for the user and for the item."""
    about = json.loads((directory / "about.json").read_text(encoding="utf-8"))
    return about.get("user", "user_id"), about.get("item", "item_id")


def read_split(directory: Path, split: str) -> Columns:
    """All columns of a split: int64 or float32, [rows] or [rows, width]."""
    return {path.stem: np.load(path) for path in sorted((directory / split).glob("*.npy"))}


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve by ranks, ties counted half: the same function for every side."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = labels > 0.5
    many, few = int(positives.sum()), int((~positives).sum())
    return float((ranks[positives].sum() - many * (many + 1) / 2) / (many * few))


def write_pairs(directory: Path, users: int, items: int, splits: dict[str, np.ndarray]) -> None:
    """Write (user index, item index) of the events of each split, int64 [events, 2], in order of time."""
    directory.mkdir(parents=True, exist_ok=True)
    for split, pairs in splits.items():
        np.save(directory / f"{split}.npy", pairs)
    (directory / "about.json").write_text(json.dumps({"users": users, "items": items}) + "\n", encoding="utf-8")


def read_pairs(directory: Path) -> tuple[int, int, dict[str, np.ndarray]]:
    """Users, items, and the pairs of each split."""
    about = json.loads((directory / "about.json").read_text(encoding="utf-8"))
    return about["users"], about["items"], {split: np.load(directory / f"{split}.npy") for split in SPLITS}


def ndcg_at_10(scores: np.ndarray, seen: np.ndarray, held_out: np.ndarray) -> float:
    """NDCG@10 with one relevant item a user, over the full catalogue without the items that the user has seen.

    Args:
        scores: float [users, items]; higher is better, ties go to the lower item index.
        seen: int64 [pairs, 2] of (user, item) that are not ranked.
        held_out: int64 [users with one, 2], each user at most once.

    """
    scores = scores.astype(np.float64)
    is_relevant = set(map(tuple, held_out.tolist()))
    hidden = np.array([pair for pair in seen.tolist() if tuple(pair) not in is_relevant]).reshape(-1, 2)
    scores[hidden[:, 0], hidden[:, 1]] = -np.inf
    users, items = held_out.T
    own = scores[users, items][:, None]
    earlier = np.arange(scores.shape[1]) < items[:, None]
    ranks = (scores[users] > own).sum(axis=1) + ((scores[users] == own) & earlier).sum(axis=1)
    return float(np.where(ranks < 10, 1 / np.log2(ranks + 2.0), 0.0).mean())
