"""How far a query looks: curves of recall by the number of lists, for either kind of lists."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfrec.index.item_index import ItemIndex
from tfrec.index.ivf import IvfIndex
from tfrec.index.limits import most_probes
from tfrec.index.partition import partition
from tfrec.index.recall import recall_by_probes, recall_of_rows
from tfrec.index.report import CurvePoint
from tfrec.index.scann import NEEDS, ScannIndex, ScannLists

QUERIES_AT_ONCE = 16


class Nearest(NamedTuple):
    """Scores float32 and items int32 [queries, depth] of a search."""

    scores: np.ndarray
    items: np.ndarray


class Lists(Protocol):
    """Lists that were learnt, before it is decided how many a query looks into."""

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def needs(self) -> str | None:
        """What a server must have beyond stock TensorFlow."""

    def curve(self, queries: np.ndarray, nearest: Nearest, k: int) -> list[CurvePoint]:
        """Recall at k and at the depth of `nearest`, the true answers to the queries; by rising probes."""

    def index(self, probes: int) -> ItemIndex:
        """The index that looks into so many."""


class IvfLists:
    """Lists of stock operations."""

    needs = None

    def __init__(self, vectors: np.ndarray, lists: int, depth: int, seed: int) -> None:
        self._vectors, self._depth = vectors, depth
        self._parts = partition(vectors, lists, seed)
        self.count = len(self._parts.centres)

    def curve(self, queries: np.ndarray, nearest: Nearest, k: int) -> list[CurvePoint]:
        parts, most = self._parts, most_probes(self.count)
        recall = recall_by_probes(queries, nearest.items[:, :k], parts, most)
        deeper = recall_by_probes(queries, nearest.items, parts, most)
        order = np.argsort(-(queries @ parts.centres.T), axis=1, kind="stable")[:, :most]
        scored = np.cumsum(np.diff(parts.starts)[order].mean(axis=0)) / len(parts.order)
        return [
            CurvePoint(probes=at + 1, recall=recall[at], recall_deeper=deeper[at], share_scored=scored[at])
            for at in range(most)
        ]

    def index(self, probes: int) -> ItemIndex:
        return IvfIndex(self._vectors, self._parts, probes, self._depth)


class TunedScann:
    """ScaNN's lists; their codes lose items too, so each point of the curve is a search."""

    needs = NEEDS

    def __init__(self, vectors: np.ndarray, lists: int, depth: int) -> None:
        self._lists = ScannLists(vectors, lists, depth)
        self._depth, self.count = depth, lists

    def curve(self, queries: np.ndarray, nearest: Nearest, k: int) -> list[CurvePoint]:
        found = []
        for probes in (1 << at for at in range(max(1, self.count // 4).bit_length())):
            scores = search_all(self.index(probes), queries, self._depth).scores
            recall = recall_of_rows(scores[:, :k], nearest.scores[:, :k]).mean()
            deeper = recall_of_rows(scores, nearest.scores).mean()
            found.append(CurvePoint(probes=probes, recall=recall, recall_deeper=deeper))
        return found

    def index(self, probes: int) -> ItemIndex:
        return ScannIndex(self._lists, probes)


def search_all(index: ItemIndex, queries: np.ndarray, k: int) -> Nearest:
    """Search for many queries in the graph that is served."""
    search = tf.function(
        lambda block: tuple(index.search(block, k)), [tf.TensorSpec([None, queries.shape[1]])], autograph=False
    ).get_concrete_function()  # a graph for each index is meant: TensorFlow would warn of it
    blocks = [tf.constant(queries[at : at + QUERIES_AT_ONCE]) for at in range(0, len(queries), QUERIES_AT_ONCE)]
    found = [search(block) for block in blocks]
    return Nearest(*(np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*found, strict=True)))
