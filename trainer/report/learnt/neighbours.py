"""Embedding neighbours: which values of a feature a model takes to be alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.models.learning import GradientModel
from tfrec.schema import CategoricalFeature
from trainer.data import JobData
from trainer.report.learnt.spelling import Spelling
from trainer.report.titles import item_titles
from trainer.watch.id_vectors import id_vectors

ASKED, NEAREST = 6, 5
FEATURES = 3  # beside the item id
MOST_TOKENS = 20_000  # the most frequent ones; the others' vectors are hardly trained
FEWEST_TOKENS = 5


@dataclass(frozen=True)
class Neighbours:
    """A value, and those with the nearest vectors: names and cosines, the nearest first."""

    name: str
    nearest: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class NeighbourTable:
    """Of one feature: its most frequent values."""

    feature: str
    tokens: int  # among which neighbours were looked for
    rows: tuple[Neighbours, ...]


def neighbour_tables(model: GradientModel, data: JobData) -> list[NeighbourTable]:
    """The item id, and the features with the largest vocabularies; users, whose ids nobody knows, are left out."""
    found = [_items(model, data)]
    spellings = {
        name: Spelling(data.dataset, name)
        for name, feature in data.schema.features.items()
        if isinstance(feature, CategoricalFeature) and not feature.id and feature.hash_buckets is None
    }
    embedded = {table.feature for table in model.id_tables()}
    for name in sorted(embedded & set(spellings), key=lambda name: (-len(spellings[name].tokens), name))[:FEATURES]:
        spelling = spellings[name]
        ids = spelling.token_ids[:MOST_TOKENS]
        vectors = id_vectors(model, name, ids)
        if vectors is not None and len(ids) >= FEWEST_TOKENS:
            found.append(_table(name, vectors, [spelling(int(one)) for one in ids]))
    return [table for table in found if table is not None]


def _items(model: GradientModel, data: JobData) -> NeighbourTable | None:
    """Items by training events; those without any are left out, whose vectors are as they started."""
    item_id = data.schema.item_id
    counts = data.model_inputs.train.item_counts()
    rows = np.argsort(-counts, kind="stable")[:MOST_TOKENS]
    rows = rows[counts[rows] > 0]
    vectors = id_vectors(model, item_id, data.catalogue.features[item_id][rows])
    if vectors is None or len(rows) < FEWEST_TOKENS:
        return None
    titles = item_titles(data)
    return _table(item_id, vectors, [titles[row] for row in rows])


def _table(feature: str, vectors: np.ndarray, names: list[str]) -> NeighbourTable:
    near, cosines = nearest(vectors, ASKED, NEAREST)
    rows = [
        Neighbours(names[row], tuple((names[int(one)], float(cosine)) for one, cosine in zip(*found, strict=True)))
        for row, found in enumerate(zip(near, cosines, strict=True))
    ]
    return NeighbourTable(feature, len(names), tuple(rows))


def nearest(vectors: np.ndarray, asked: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows with the largest cosine to each of the first `asked` rows, itself left out; ties to the earlier row.

    Args:
        vectors: float [rows, dim]; a row of zeros has cosine 0 with every other.
        asked: so many at most.
        count: of neighbours, at most.

    Returns:
        int64 [asked, count] and their cosines.

    """
    values = vectors.astype(np.float64)
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    cosines = np.clip(unit[:asked] @ unit.T, -1, 1)
    cosines[np.arange(len(cosines)), np.arange(len(cosines))] = -np.inf
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(values) - 1)]
    return order, np.take_along_axis(cosines, order, axis=1)
