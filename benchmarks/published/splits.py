"""The published files, and how settings are chosen on a cut of their training part alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.published.last_items import LastItems
from benchmarks.published.protocol import Judgement, PublishedSplit
from benchmarks.training.datasets import kept_dataset
from benchmarks.training.processes import make

CUT_SHARE = 0.1  # of the training rows: what settings and epochs are chosen by
CUT_SEED = 1
# Rows are put in a random order: that of the files is neither that of time nor without meaning (neighbours in it are
# alike), and a model that reads histories would learn it, though held-out rows lie anywhere in it.
ORDER_SEED = 1
TAB = {"delimiter": "\t", "header": False}
MOVIELENS = {"delimiter": "::", "header": False, "quote": None}
FEATURES = {
    "age": {"role": "user", "kind": "categorical"},
    "gender": {"role": "user", "kind": "categorical"},
    "occupation": {"role": "user", "kind": "categorical"},
    "title": {"role": "item", "kind": "text", "tokens": {}},
    "genres": {"role": "item", "kind": "categorical", "separator": "|", "max_values": 6},
    "history": {"role": "user", "kind": "sequence", "length": 100},
}
USERS = {"files": "users.dat", **MOVIELENS, "columns": ["user", "gender", "age", "occupation", "zip_code"]}
ITEMS = {"files": "movies.dat", **MOVIELENS, "encoding": "latin-1", "columns": ["item", "title", "genres"]}


@dataclass(frozen=True)
class GivenFiles(PublishedSplit):
    """A file of training rows and one of test rows.

    Attributes:
        train: file of the training rows.
        train_columns: its columns.
        test: file of the test rows.
        test_columns: its columns.
        negatives: file of given candidates, below `name`.
        has_features: whether its ids are MovieLens-1M's own, so that ml-1m/users.dat and movies.dat belong to it.

    """

    has_validation: ClassVar[bool] = False
    is_ordered: ClassVar[bool] = False

    train: str
    train_columns: tuple[str, ...]
    test: str
    test_columns: tuple[str, ...]
    negatives: str | None = None
    has_features: bool = False

    def files(self, data_dir: Path) -> list[Path]:
        own = [name for name in (self.train, self.test, self.negatives) if name is not None]
        features = [data_dir / "ml-1m" / name for name in ("users.dat", "movies.dat")] if self.has_features else []
        return [data_dir / self.name / name for name in own] + features

    def overrides(self, data_dir: Path) -> list[str]:
        found = super().overrides(data_dir)
        if self.negatives is not None:
            found.append(f"evaluation.negatives.file={data_dir / self.name / self.negatives}")
        return found

    def dataset(self, data_dir: Path, work: Path, *, cut: bool) -> Path:
        """The dataset of the published files, or of a cut of the training file into training and validation."""
        name = f"{self.name}-{'cut' if cut else 'whole'}"
        logs = make(work / "logs" / name, lambda target: self._write_log(data_dir, target, cut=cut))
        return kept_dataset(name, self.dataset_config(cut=cut), logs, work)

    def dataset_config(self, *, cut: bool) -> dict[str, Any]:
        """The content of dataset.yaml."""
        train = {**TAB, "columns": list(self.train_columns)}
        other = train if cut else {**TAB, "columns": list(self.test_columns)}
        part = "validation" if cut else "test"
        ids = {name: {"role": name, "kind": "categorical", "id": True} for name in ("user", "item")}
        return {
            "name": self.name,
            "events": [
                {"files": "train.tsv", "split": "train", **train},
                {"files": f"{part}.tsv", "split": part, **other},
            ],
            **({"users": USERS, "items": ITEMS} if self.has_features else {}),
            "features": {**ids, **(FEATURES if self.has_features else {})},
            "split": {"strategy": "given"},
        }

    def _write_log(self, data_dir: Path, target: Path, *, cut: bool) -> None:
        target.mkdir(parents=True)
        train = [row + b"\n" for row in (data_dir / self.name / self.train).read_bytes().splitlines()]
        order = np.random.default_rng(ORDER_SEED).permutation(len(train))
        if cut:
            is_validation = cut_rows(len(train))
            for part, rows in (("train", ~is_validation), ("validation", is_validation)):
                (target / f"{part}.tsv").write_bytes(b"".join(train[row] for row in order[rows[order]]))
        else:
            (target / "train.tsv").write_bytes(b"".join(train[row] for row in order))
            shutil.copy(data_dir / self.name / self.test, target / "test.tsv")
        if self.has_features:
            shutil.copy(data_dir / "ml-1m" / "users.dat", target)
            # Without the others: the paper's catalogue are the items of the training file.
            known = {row.split(b"\t")[1].strip() for row in train}
            movies = (data_dir / "ml-1m" / "movies.dat").read_bytes().splitlines(keepends=True)
            (target / "movies.dat").write_bytes(b"".join(row for row in movies if row.split(b"::")[0] in known))


def cut_rows(count: int) -> np.ndarray:
    """Which training rows are validation. bool [count]"""
    return np.random.default_rng(CUT_SEED).random(count) < CUT_SHARE


SPLITS: dict[str, PublishedSplit] = {
    split.name: split
    for split in (
        GivenFiles(
            "ml-1m-topn",
            "topn",
            (
                Judgement(
                    "ML-1M, ratings ≥ 4, the hold-out of Anelli et al. 2022, full ranking",
                    "test",
                    ("ndcg_at_10", "recall_at_10", "precision_at_10"),
                ),
            ),
            "train.tsv",
            ("user", "item"),
            "test.tsv",
            ("user", "item", "stars", "time"),
            has_features=True,
        ),
        GivenFiles(
            "ml-1m-ncf",
            "ncf",
            (
                Judgement(
                    "ML-1M, the files of He et al. 2017, one positive among 99 sampled items",
                    "test_sampled",
                    ("ndcg_at_10", "hit_rate_at_10"),
                ),
            ),
            "ml-1m.train.pairs.tsv",
            ("user", "item", "stars"),
            "ml-1m.test.rating",
            ("user", "item", "stars", "time"),
            negatives="ml-1m.test.negative",
        ),
        LastItems(
            "ml-1m-sequences",
            "sasrec",
            (
                Judgement(
                    "ML-1M sequences, last item of each user, full ranking, seen items excluded",
                    "test",
                    ("ndcg_at_10", "recall_at_10"),
                ),
                Judgement(
                    "ML-1M sequences, last item of each user, full ranking, nothing excluded",
                    "test",
                    ("ndcg_at_10", "recall_at_10"),
                    "nothing_excluded",
                    ("evaluation.exclude=nothing",),
                ),
                Judgement(
                    "ML-1M sequences, last item of each user among 100 SAMPLED items (uniform), not the catalogue",
                    "test_sampled",
                    ("ndcg_at_10", "hit_rate_at_10"),
                ),
            ),
            "ml-1m.txt",
        ),
    )
}
