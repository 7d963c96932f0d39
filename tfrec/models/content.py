r"""Content-based recommendation: items like those that the user liked, by what is known of them.

.. math:: s(u, j) = \frac{p_u \cdot x_j}{\lVert p_u \rVert} + \beta \, \frac{\log(1 + c_j)}{\log(1 + \max_k c_k)},
   \quad p_u = \sum_{i \in R(u)} 2^{-r_{ui} / \text{half\_life}} \, (y_{ui} - \bar y_u) \, x_i

x_i, of length 1, is the TF-IDF vector of item i over the tokens of its features
(`tfrec.models.neighbours.item_content`), or with `item_profile: embedding` its place in the space of the largest
singular vectors of all of them, where words that go together are near (Deerwester 1990). y_ui is the label, ȳ_u the
user's mean, r_ui counts what the user took after i. This is Rocchio's user profile (Lops, de Gemmis & Semeraro 2011,
section 3.3.1): what was rated above the user's mean attracts, what below it repels. Nothing but metadata is read of
an item, so with β = 0 those that nobody took are recommended like any other. Each score is the sum of what each
feature adds to it, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors, list_width
from tfrec.errors import ConfigError
from tfrec.layers import TableShape, choose_features
from tfrec.models.base import Reasons, RetrievalModel
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import FittedModel, frozen_variable
from tfrec.models.neighbours.item_content import first_token, item_content, truncated_svd
from tfrec.models.neighbours.item_to_item import DEVICE
from tfrec.models.neighbours.sparse_rows import SparseRows
from tfrec.models.profiles.cold_start import popularity_prior
from tfrec.models.profiles.rated_profiles import RatedItems, RatedProfiles
from tfrec.models.profiles.reasons import POPULARITY, or_popularity
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles
from tfrec.schema import Schema

MEAN_RATINGS = 5  # at the mean of all, that a user's mean starts with


class ContentConfig(ProfileConfig):
    """Choices of both profiles."""

    features: tuple[str, ...] | None = Field(
        None, min_length=1, description="encoded item features; all but the id by default"
    )
    feature_weights: dict[str, float] = Field({}, description="feature → its weight beside the others; 1 by default")
    item_profile: Literal["tf_idf", "embedding"] = "tf_idf"
    embedding_dim: int = Field(64, ge=1, description="singular vectors that are kept, of item_profile=embedding")
    ratings: Literal["deviation", "ignored"] = Field(
        "deviation", description="whether an item weighs by its label's deviation from the user's mean, or all alike"
    )
    popularity: float = Field(
        0.0, ge=0, description="β: weight of an item's popularity beside the cosine, which is 1 at most"
    )


class Content(RetrievalModel, FittedModel, tf.Module):
    """Sparse item profiles, and users as weighted sums of them."""

    Config = ContentConfig
    config: ContentConfig
    search_space: ClassVar[dict[str, str]] = {
        "model.half_life": "log(1, 50)",
        "model.popularity": "uniform(0, 20)",
        "model.ratings": "[deviation, ignored]",
        "model.item_profile": "[tf_idf, embedding]",
    }

    def __init__(self, config: ContentConfig, inputs: ModelInputs) -> None:
        tf.Module.__init__(self, name="content")
        self.config = config
        self.inputs = inputs
        names = content_features(config, inputs.schema)
        content = item_content(inputs, names, config.feature_weights)
        labels = inputs.train.labels
        # Where all labels are the same, none deviates.
        self._has_ratings = config.ratings == "deviation" and labels is not None and np.ptp(labels) > 0
        tokens = len(content.labels)
        with tf.device(DEVICE):
            self._profiles = RatedProfiles(config, inputs)
            self._items = SparseRows(content.matrix, "item_profiles")
            self._labels = frozen_variable(tf.constant([*content.labels, POPULARITY], tf.string), "token_labels")
            self._popularity = frozen_variable(tf.zeros([inputs.num_items]), "popularity")
            self._tie_break = frozen_variable(tf.zeros([inputs.num_items]), "tie_break")
            self._rating_facts = frozen_variable(tf.zeros([2]), "rating_facts")  # mean, mean distance from it
            self._token_vectors: tf.Variable | None = None
            if config.item_profile == "embedding":
                self._token_vectors = frozen_variable(tf.zeros([tokens, config.embedding_dim]), "token_vectors")
                empty = tf.zeros([inputs.num_items, config.embedding_dim])
                self._item_vectors = frozen_variable(empty, "item_vectors")

    def fit(self, inputs: ModelInputs) -> None:
        counts = inputs.train.item_counts()
        self._tie_break.assign(popularity_prior(counts))
        self._popularity.assign(self.config.popularity * np.log1p(counts) / max(np.log1p(counts.max(initial=0)), 1))
        if self._has_ratings:
            assert inputs.train.labels is not None
            mean = inputs.train.labels.mean(dtype=np.float64)
            self._rating_facts.assign([mean, np.abs(inputs.train.labels - mean).mean()])
        if self._token_vectors is not None:
            self._fit_vectors(inputs)

    def _fit_vectors(self, inputs: ModelInputs) -> None:
        assert self._token_vectors is not None
        matrix = item_content(inputs, content_features(self.config, inputs.schema), self.config.feature_weights).matrix
        directions = truncated_svd(matrix, self.config.embedding_dim)
        # Vectors of length 1 there too; the rows are scaled with them, so that x_j · V p remains the score.
        vectors = matrix @ directions
        scales = 1 / np.maximum(np.linalg.norm(vectors, axis=1), 1e-6)
        matrix.data = (matrix.data * np.repeat(scales, np.diff(matrix.indptr))).astype(np.float32)
        self._items.assign(matrix)
        self._token_vectors.assign(directions)
        self._item_vectors.assign(vectors * scales[:, None])

    def scores(self, features: Tensors) -> tf.Tensor:
        with tf.device(DEVICE):
            rated = self._profiles.rated(features)
            batch = tf.shape(features[self.inputs.schema.user_id])[0]
            users = self._users(rated, batch)
            if self._token_vectors is None:
                cosines = tf.transpose(self._items.times(tf.transpose(users)))
            else:
                cosines = tf.matmul(users, self._item_vectors, transpose_b=True)
            return cosines + self._popularity + self._tie_break

    def _users(self, rated: RatedItems, batch: tf.Tensor) -> tf.Tensor:
        """p_u / ‖p_u‖, float32 [batch, tokens], or [batch, embedding_dim] where items have such vectors."""
        weights = rated.weights * self._attraction(rated, batch)
        if self._token_vectors is not None:
            added = weights[:, None] * tf.gather(self._item_vectors, rated.items)
            return tf.math.l2_normalize(tf.math.unsorted_segment_sum(added, rated.rows, batch), axis=1)
        entries = self._items.entries(rated.items)
        cells = tf.stack([tf.gather(rated.rows, entries.places), entries.columns], axis=1)
        shape = tf.stack([tf.cast(batch, tf.int64), self._items.num_columns])
        return tf.math.l2_normalize(tf.scatter_nd(cells, entries.values * tf.gather(weights, entries.places), shape), 1)

    def _attraction(self, rated: RatedItems, batch: tf.Tensor) -> tf.Tensor:
        """y_ui − ȳ_u; of an item without a rating, that the user took it, what ratings deviate in the mean."""
        if not self._has_ratings:
            return tf.ones_like(rated.weights)
        overall, typical = self._rating_facts[0], self._rating_facts[1]
        is_known = ~tf.math.is_nan(rated.ratings)
        above = tf.where(is_known, rated.ratings - overall, 0.0)
        counts = tf.math.unsorted_segment_sum(tf.cast(is_known, tf.float32), rated.rows, batch)
        means = tf.math.unsorted_segment_sum(above, rated.rows, batch) / (counts + MEAN_RATINGS)
        return tf.where(is_known, above - tf.gather(means, rated.rows), typical)

    def explain(self, features: Tensors, items: tf.Tensor, reasons: int) -> Reasons:
        """The features that add most to each score; a weight is the product of the user's side and the item's."""
        with tf.device(DEVICE):
            rated = self._profiles.rated(features)
            batch, listed = tf.shape(items)[0], tf.shape(items)[1]
            users = self._users(rated, batch)
            if self._token_vectors is not None:
                users = tf.matmul(users, self._token_vectors, transpose_b=True)
            wanted = tf.reshape(items, [-1])
            entries = self._items.entries(wanted)
            row = tf.cast(entries.places // tf.cast(listed, tf.int64), tf.int64)
            parts = entries.values * tf.gather_nd(users, tf.stack([row, entries.columns], axis=1))
            parts, columns = (_by_item(values, entries.places, wanted) for values in (parts, entries.columns))
            # Popularity is the last of the labels.
            parts = tf.concat([parts, tf.gather(self._popularity, wanted)[:, None]], axis=1)
            last = tf.fill([tf.size(wanted), 1], tf.constant(self._items.num_columns, tf.int64))
            columns = tf.concat([columns, last], axis=1)
            missing = [[0, 0], [0, tf.maximum(reasons - tf.shape(parts)[1], 0)]]
            best, places = tf.math.top_k(tf.pad(parts, missing), reasons)
            labels = tf.gather(self._labels, tf.gather(tf.pad(columns, missing), places, batch_dims=1))
            shape = tf.stack([batch, listed, reasons])
            labels, best = tf.reshape(labels, shape), tf.reshape(best, shape)
            return or_popularity(Reasons(tf.where(best > 0, labels, ""), tf.maximum(best, 0.0)))

    def profiles_for_reasons(self) -> UserProfiles:
        return self._profiles

    @property
    def state(self) -> list[tf.Variable]:
        vectors = [] if self._token_vectors is None else [self._token_vectors, self._item_vectors]
        facts = [self._labels, self._popularity, self._tie_break, self._rating_facts]
        return [*self._profiles.state, *self._items.state, *facts, *vectors]

    @property
    def required_features(self) -> frozenset[str]:
        return self._profiles.required_features

    @classmethod
    def table_shapes(
        cls, config: ContentConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        names = content_features(config, schema)
        width = sum(list_width(schema.features[name]) or 2 for name in names)
        tokens = sum(
            num_ids[name] - first_token(schema.features[name])
            if name in num_ids
            else list_width(schema.features[name]) or 2  # of a vector its length, of a number its two signs
            for name in names
        )
        shapes = [TableShape("item_profiles", num_items, 2 * width), TableShape("user_profile_of_a_row", 1, tokens)]
        if config.item_profile == "embedding":
            shapes += [
                TableShape("token_vectors", tokens, config.embedding_dim),
                TableShape("item_vectors", num_items, config.embedding_dim),
            ]
        return shapes


def content_features(config: ContentConfig, schema: Schema) -> tuple[str, ...]:
    """Names of the item features that are read.

    Raises:
        ConfigError: there are none but the id, or a named one does not exist.

    """
    chosen = choose_features(schema, config.features, roles=("item",), key="model.features")
    names = tuple(name for name in chosen if name != schema.item_id)
    if not names:
        raise ConfigError(
            "content: nothing is known of the items but their ids; add item features to dataset.yaml, or 'tokens: {}' "
            "to a text"
        )
    for name in config.feature_weights:
        if name not in names:
            raise ConfigError(f"model.feature_weights: {name!r} is not among the features: {', '.join(names)}")
    return names


def _by_item(values: tf.Tensor, places: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Values of entries → [wanted, most entries of one], padded with 0."""
    rows = tf.size(wanted, tf.int64)
    return tf.RaggedTensor.from_value_rowids(values, places, nrows=rows, validate=False).to_tensor()
