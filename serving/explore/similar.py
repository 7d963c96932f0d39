"""Items like an item, as a model sees it."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from typing import Any

import numpy as np

from serving.client import Client
from serving.explore.answer import ShownItem, titles_of
from serving.explore.catalogue import Catalogue

_EMBEDDING, _RECOMMEND = "item_embedding", "recommend"
_NOBODY = "somebody who is not a user"
_AT_ONCE = 512  # items of a call
_KEPT = 4  # models whose vectors stay in memory
Matrix = np.ndarray[Any, np.dtype[np.float32]]


@dataclasses.dataclass(frozen=True)
class SimilarList:
    """Items with what makes them alike."""

    meaning: str
    items: tuple[ShownItem, ...]


class SimilarItems:
    """Finds them; keeps the vectors of the last models asked."""

    def __init__(self, client: Client, catalogue: Catalogue) -> None:
        self._client, self._catalogue = client, catalogue
        self._vectors: dict[tuple[str, int], Matrix] = {}
        self._lock = threading.Lock()

    def find(self, model: str, item: str, k: int) -> list[SimilarList]:
        """Up to two lists, none where the model says nothing of items. Raises what the client raises."""
        found = [self._by_vectors(model, item, k), self._by_taking(model, item, k)]
        return [one for one in found if one is not None]

    def _by_vectors(self, model: str, item: str, k: int) -> SimilarList | None:
        metadata = self._client.metadata(model)
        if _EMBEDDING not in metadata.signatures or item not in self._catalogue.items:
            return None
        with self._lock:
            vectors = self._vectors_of(model, metadata.version)
        cosines = vectors @ vectors[self._catalogue.items.index(item)]
        others = (i for i in np.argsort(-cosines, kind="stable") if self._catalogue.items[i] != item)
        best = [(self._catalogue.items[i], float(cosines[i])) for i in itertools.islice(others, k)]
        return SimilarList("nearest by the cosine of the model's item vectors", self._shown(model, best))

    def _vectors_of(self, model: str, version: int) -> Matrix:
        """Vectors of length 1 of all items; of nearly 0 where the model has none."""
        key = (model, version)
        if key not in self._vectors:
            items = self._catalogue.items
            parts = [
                np.asarray(self._client.embed_items(model, items[first : first + _AT_ONCE]), np.float32)
                for first in range(0, len(items), _AT_ONCE)
            ]
            vectors = np.concatenate(parts)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            while len(self._vectors) >= _KEPT:
                self._vectors.pop(next(iter(self._vectors)))
            self._vectors[key] = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return self._vectors[key]

    def _by_taking(self, model: str, item: str, k: int) -> SimilarList | None:
        signature = self._client.metadata(model).signatures.get(_RECOMMEND)
        history = self._catalogue.history
        if signature is None or history is None or history not in signature.inputs:
            return None
        best = self._client.recommend(model, _NOBODY, k=k, exclude=[item], context={history: [item]})
        return SimilarList("recommended to somebody who took this item alone", self._shown(model, list(best)))

    def _shown(self, model: str, best: list[tuple[str, float]]) -> tuple[ShownItem, ...]:
        titles = titles_of(self._client, self._catalogue, model, [item for item, _ in best])
        return tuple(
            ShownItem(place, item, titles.get(item, ""), score) for place, (item, score) in enumerate(best, start=1)
        )
