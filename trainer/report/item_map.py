"""Item vectors on a plane: what the model takes to be alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfrec.models.base import Recommender, RetrievalModel
from tfrec.schema import CategoricalFeature
from trainer.data import JobData
from trainer.report.plots import SERIES
from trainer.report.titles import item_titles
from trainer.warm_start.vocabularies import read_vocabulary

MOST_ITEMS = 2000
WIDTH, HEIGHT, MARGIN = 900, 520, 12


@dataclass(frozen=True)
class Point:
    """An item: its place in the drawing, its title and the number of its colour (`SERIES`: none of the named ones)."""

    x: float
    y: float
    title: str
    colour: int


@dataclass(frozen=True)
class ItemMap:
    """Points, and what colours mean."""

    points: tuple[Point, ...]
    legend: tuple[tuple[int, str], ...]
    feature: str
    explained: float  # share of the variance that the plane shows
    width: int = WIDTH
    height: int = HEIGHT


def item_map(model: Recommender, data: JobData) -> ItemMap | None:
    """The items that are most frequent in training; None for a model without two towers."""
    towers = model.embeddings() if isinstance(model, RetrievalModel) else None
    if towers is None:
        return None
    counts = data.model_inputs.train.item_counts()
    rows = np.argsort(-counts, kind="stable")[:MOST_ITEMS]
    rows = rows[counts[rows] > 0]  # the others' vectors are as they started
    if len(rows) < 3:
        return None
    features = {name: tf.constant(values[rows]) for name, values in data.catalogue.features.items()}
    plane, explained = principal_plane(towers.embed_items(features).numpy().astype(np.float64))
    low, high = plane.min(axis=0), plane.max(axis=0)
    size = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    at = MARGIN + (plane - low) / np.where(high > low, high - low, 1) * size
    feature, colours, legend = _colours(data, rows)
    titles = item_titles(data)
    points = [
        Point(round(float(x), 1), round(float(y), 1), titles[row], int(colour))
        for (x, y), row, colour in zip(at, rows, colours, strict=True)
    ]
    points.sort(key=lambda point: -point.colour)  # named colours on top
    return ItemMap(tuple(points), legend, feature, explained)


def principal_plane(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """The two directions in which unit vectors differ most (PCA by SVD): float64 [items, 2], and their share.

    Vectors are brought to length 1 first: in a dot product much of the length is popularity. Each direction points to
    where its largest value is positive, so that the same vectors always give the same drawing.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    centred = unit - unit.mean(axis=0)
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(vectors), 2))
    found = (left * strength)[:, :2]
    signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    plane[:, : found.shape[1]] = found * signs
    total = float((strength**2).sum())
    return plane, float((strength[:2] ** 2).sum() / total) if total else 0.0


def _colours(data: JobData, rows: np.ndarray) -> tuple[str, np.ndarray, tuple[tuple[int, str], ...]]:
    """By the first value of the first categorical feature of items; the most frequent values have colours."""
    usable = (
        name
        for name, feature in data.schema.of_role("item").items()
        if isinstance(feature, CategoricalFeature) and not feature.id and feature.hash_buckets is None
    )
    name = next(usable, None)
    if name is None:
        return "", np.full(len(rows), SERIES), ()
    feature = data.schema.features[name]
    assert isinstance(feature, CategoricalFeature)
    ids = data.catalogue.features[name][rows]
    ids = ids[:, 0] if ids.ndim > 1 else ids
    tokens = read_vocabulary(data.dataset, name)
    first = feature.first_token_id
    counts = np.bincount(ids, minlength=first + len(tokens))[first:]
    top = [int(place) for place in np.argsort(-counts, kind="stable")[:SERIES] if counts[place]]
    colours = np.full(len(rows), SERIES)
    for colour, place in enumerate(top):
        colours[ids == first + place] = colour
    legend = [(colour, tokens[place].as_py().decode("utf-8", "replace")) for colour, place in enumerate(top)]
    if (colours == SERIES).any():
        legend.append((SERIES, "any other"))
    return name, colours, tuple(legend)
