r"""A trained retrieval model on a later catalogue, with the weights that it has.

Known items keep their scores. Of new ones

- a model whose item tower reads features beside the id says what the tower says;
- for all others the score is that of the known items most like them,
  :math:`s(u, j) = \sum_{i \in N(j)} w_{ij} s(u, i)`, N(j) the ten known items with the largest cosines of TF-IDF
  vectors of their features (`tfrec.models.neighbours.item_content`) and w these cosines over their sum;
- a new item of which nothing is known, or that is like no known one, gets the lowest score of the row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.export.inner_products import InnerProducts, item_vectors, of_towers, with_last
from tfrec.models.base import PredictsContext, PredictsRatings, Reasons, RetrievalModel, TwoTowerEmbeddings
from tfrec.models.content import ContentConfig, content_features
from tfrec.models.inputs import Catalogue, ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.neighbours.item_content import item_content
from tfrec.models.profiles.rating_pairs import ratings_of_pairs
from tfrec.schema import FIRST_OOV_ID

NEIGHBOURS = 10
MOST_TAKEN = 5_000  # known items among which neighbours are looked for
ROWS = 1_024  # new items at a time


@dataclass(frozen=True)
class LaterCatalogue:
    """Items of another dataset: first those that the model knows, in its order, then the new ones.

    Attributes:
        catalogue: all of them, encoded as the model was trained.
        known: of the first ones, the row in the model's own catalogue. int64 [known items]

    """

    catalogue: Catalogue
    known: np.ndarray

    @property
    def added(self) -> int:
        return self.catalogue.size - len(self.known)


class RefreshedRetrieval(RetrievalModel, tf.Module):
    """Answers as the trained model does, on the later catalogue."""

    def __init__(self, model: RetrievalModel, later: LaterCatalogue) -> None:
        tf.Module.__init__(self, name="refreshed")
        self.config = model.config
        self.inputs: ModelInputs = replace(model.inputs, catalogue=later.catalogue)
        self._model = model
        self._later = later
        self._known = frozen_variable(later.known, "known_items")
        self._is_whole = np.array_equal(later.known, np.arange(model.inputs.num_items))
        towers = model.embeddings()
        self._by_tower = towers is not None and later.added > 0 and reads_content(towers, later.catalogue, model)
        self._vectors: tf.Variable | None = None
        if self._by_tower:
            assert towers is not None
            new = {name: values[len(later.known) :] for name, values in later.catalogue.features.items()}
            self._vectors = frozen_variable(item_vectors(towers, new), "new_item_vectors")
        elif later.added:
            places, weights = similar_items(model.inputs, later)
            self._neighbours = frozen_variable(places, "neighbours")
            self._weights = frozen_variable(weights, "neighbour_weights")

    @property
    def placed_by(self) -> dict[str, int]:
        """How many new items are placed by what."""
        if not self._later.added:
            return {}
        if self._by_tower:
            return {"item_tower": self._later.added}
        placed = int((self._weights.numpy().sum(axis=1) > 0).sum())
        return {"similar_items": placed, "last": self._later.added - placed}

    def scores(self, features: Tensors) -> tf.Tensor:
        all_scores = self._model.scores(features)
        known = all_scores if self._is_whole else tf.gather(all_scores, self._known, axis=1)
        if not self._later.added:
            return known
        if self._vectors is not None:
            towers = self._model.embeddings()
            assert towers is not None
            return tf.concat([known, tf.matmul(towers.embed_users(features), self._vectors, transpose_b=True)], axis=1)
        near = tf.gather(all_scores, self._neighbours, axis=1)
        means = tf.reduce_sum(near * self._weights, axis=2)
        lowest = tf.reduce_min(all_scores, axis=1, keepdims=True)
        return tf.concat([known, tf.where(tf.reduce_sum(self._weights, axis=1) > 0, means, lowest)], axis=1)

    def embeddings(self) -> TwoTowerEmbeddings | None:
        return self._model.embeddings()

    def next_context(self) -> PredictsContext | None:
        return self._model.next_context()

    def inner_products(self) -> InnerProducts | None:
        """As of the model, on the later catalogue."""
        own = of_towers(self._model)
        if own is None:
            return None
        vectors, is_last = self._of_all_items(own.vectors)
        found = InnerProducts(own.embed_queries, vectors, np.zeros(len(vectors), bool))
        return with_last(found, is_last) if is_last.any() else found

    def item_vectors_for_reasons(self) -> tf.Tensor | None:
        """As of the model; nothing is like an item of which nothing is known."""
        own = self._model.item_vectors_for_reasons()
        return None if own is None else tf.constant(self._of_all_items(own.numpy())[0])

    def _of_all_items(self, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the model's items [its items, dim] → of all items, and which of them have none, bool.

        A mean of scores is the product with the mean of the vectors.
        """
        known = own[self._later.known]
        is_last = np.zeros(len(known) + self._later.added, bool)
        if not self._later.added:
            return known, is_last
        if self._vectors is not None:  # biases stand behind what is compared for reasons
            return np.concatenate([known, self._vectors.numpy()[:, : own.shape[1]]]), is_last
        weights = self._weights.numpy()
        is_last[len(known) :] = weights.sum(axis=1) == 0
        means = np.einsum("ij,ijd->id", weights, own[self._neighbours.numpy()])
        return np.concatenate([known, means.astype(np.float32)]), is_last

    def explain(self, features: Tensors, items: tf.Tensor, reasons: int) -> Reasons:
        """The model's reasons of items that it knows; it has none of others."""
        is_known = items < len(self._later.known)
        found = self._model.explain(features, tf.gather(self._known, tf.where(is_known, items, 0)), reasons)
        is_known = is_known[:, :, None]
        return Reasons(tf.where(is_known, found.labels, ""), tf.where(is_known, found.weights, 0.0))

    @property
    def state(self) -> list[tf.Variable]:
        own = [self._vectors] if self._vectors is not None else []
        own += [self._neighbours, self._weights] if self._later.added and not self._by_tower else []
        return [*self._model.state, self._known, *own]

    @property
    def state_for_reasons(self) -> list[tf.Variable]:
        return self._model.state_for_reasons

    @property
    def required_features(self) -> frozenset[str]:
        return self._model.required_features

    @property
    def features_for_reasons(self) -> frozenset[str]:
        return self._model.features_for_reasons


class RefreshedRatings(RefreshedRetrieval, PredictsRatings):
    """Of a model whose scores are predicted ratings."""

    def predicted_ratings(self, features: Tensors) -> tf.Tensor:
        return ratings_of_pairs(self.scores, features, self.inputs)


def refreshed(model: RetrievalModel, later: LaterCatalogue) -> RefreshedRetrieval:
    kind = RefreshedRatings if isinstance(model, PredictsRatings) and model.predicts_ratings else RefreshedRetrieval
    return kind(model, later)


def reads_content(towers: TwoTowerEmbeddings, catalogue: Catalogue, model: RetrievalModel) -> bool:
    """Whether the item tower reads more than the id: other features of the same id give another vector."""
    rows = np.arange(min(catalogue.size, ROWS))
    features = {name: tf.constant(values[rows]) for name, values in catalogue.features.items()}
    unknown = tf.fill([len(rows)], tf.constant(FIRST_OOV_ID, tf.int64))
    vectors = towers.embed_items({**features, model.inputs.schema.item_id: unknown}).numpy()
    return bool(np.ptp(vectors, axis=0).max(initial=0) > 0)


def similar_items(inputs: ModelInputs, later: LaterCatalogue) -> tuple[np.ndarray, np.ndarray]:
    """The known items that are most like each new one.

    Args:
        inputs: of the trained model.
        later: its later catalogue.

    Returns:
        rows of the model's own catalogue int64 and weights float32 [new items, `NEIGHBOURS`]; the weights of an item
        sum to 1, or are all 0 where no known item has anything in common with it.

    """
    places = np.zeros((later.added, NEIGHBOURS), np.int64)
    weights = np.zeros((later.added, NEIGHBOURS), np.float32)
    try:
        names = content_features(ContentConfig(), inputs.schema)
    except ConfigError:  # nothing is known of items but their ids
        return places, weights
    matrix = item_content(replace(inputs, catalogue=later.catalogue), names, {}).matrix
    counts = inputs.train.item_counts()[later.known]
    taken = np.argsort(-counts, kind="stable")[:MOST_TAKEN]
    taken = taken[counts[taken] > 0]
    among, width = matrix[taken].T.tocsc(), min(NEIGHBOURS, len(taken))
    for start in range(0, later.added if width else 0, ROWS):
        rows = slice(start, min(start + ROWS, later.added))
        of_new = matrix[len(later.known) + rows.start : len(later.known) + rows.stop]
        cosines = (of_new @ among).toarray()
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :width]
        values = np.maximum(np.take_along_axis(cosines, best, axis=1), 0)
        places[rows, :width] = later.known[taken[best]]
        weights[rows, :width] = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)
    return places, weights
