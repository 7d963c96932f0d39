r"""Bayesian matrix factorisation: a low-rank multinomial with side information (Elahi et al. 2019).

.. math:: u \sim N(A f_u + h_u,\ \Sigma_u), \quad (v_i, b_i) \sim N(C g_i,\ \Sigma_v), \quad
   P(i \mid u) = \frac{e^{u \cdot v_i + b_i}}{\sum_j e^{u \cdot v_j + b_j}}

f and g are features of user and item, h_u a sum over the user's latest items weighted by recency, Σ diagonal. The
posterior is approximated by Gaussians around the same means, q(u) = N(A f_u + h_u + δ_u, diag s_u²) and likewise for
items, and fitted by gradients through draws (Kingma & Welling 2014) of the evidence lower bound per training event,

.. math:: \frac{1}{N} \mathrm{ELBO} = \frac{1}{N} \sum_{(u, i)} E_q \log P(i \mid u)
   - \frac{\beta}{N} \sum_u \mathrm{KL}_u - \frac{\beta}{N} \sum_i \mathrm{KL}_i

A, C, the weights by recency and Σ are fitted by the same bound. A batch has each user's KL once per event, divided by
the user's number of events, and the candidates' KL weighted as their exponentials are. Whoever was never trained has
the prior: its mean comes from the features, its spread says how little is known, and `exploration` makes use of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import FieldPlan, IdTable, PositionWeightedPooling, TableShape, choose_features, with_weights
from tfrec.layers.tables import normal_rows
from tfrec.losses import KnownPositives, sampled_softmax
from tfrec.losses.chunked_softmax import EXCLUDED
from tfrec.models.base import ModelConfig, RetrievalModel, TwoTowerEmbeddings
from tfrec.models.factors.initial_bias import log_counts, with_bias
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel, frozen_variable
from tfrec.models.posteriors.exploration import ExplorationConfig, Explorer
from tfrec.models.posteriors.feature_mean import FeatureMean
from tfrec.models.posteriors.gaussian import Gaussian
from tfrec.models.posteriors.posterior_table import Posterior, PosteriorTable
from tfrec.negatives import Negatives, NegativesConfig, make_sampler
from tfrec.negatives.hard import mean_softmax
from tfrec.replicas import gathered, global_mean, share
from tfrec.schema import ITEM_INDEX, USER_INDEX, CategoricalFeature, Schema, SequenceFeature

NEGATIVES_SALT, USER_SALT, POSITIVE_SALT, CANDIDATE_SALT = 1, 2, 3, 4


class BayesianMFConfig(ModelConfig):
    """Choices of the factorisation."""

    embedding_dim: int = Field(64, ge=1, description="of u and v; items have their bias beside it")
    user_features: tuple[str, ...] = Field((), description="further user and context features: A")
    item_features: tuple[str, ...] = Field((), description="further item features, beside the id: C")
    use_history: bool = Field(True, description="the schema's sequence feature is part of the user's prior mean")
    history_half_life: float = Field(5.0, gt=0, description="items after which a history weight starts at one half")
    kl_weight: float = Field(1.0, ge=0, description="β; below 1 the data count for more than the bound says")
    prior_stddev: float = Field(0.5, gt=0, description="that the priors start with; they are fitted")
    posterior_stddev: float = Field(0.1, gt=0, description="that the posteriors start with")
    embedding_stddev: float = Field(0.03, gt=0, description="of the initial embeddings")
    negatives: NegativesConfig = NegativesConfig(kind="mixed", n=512)
    exploration: ExplorationConfig = ExplorationConfig()

    def features_of(self, schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Encoded features of users and of items."""
        return (
            choose_features(schema, self.user_features, roles=("user", "context"), key="model.user_features"),
            choose_features(schema, self.item_features, roles=("item",), key="model.item_features"),
        )


class BayesianMF(RetrievalModel, GradientModel, TwoTowerEmbeddings):
    """Gaussian posteriors over the vectors of users and items."""

    Config = BayesianMFConfig
    config: BayesianMFConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 1024,
        "learning_rate": 0.003,
        "average_decay": 0.99,
        "patience": 4,
        "epochs": 30,
    }
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.02)",
        "train.batch_size": "[512, 1024, 2048]",
        "model.embedding_dim": "[32, 64, 128]",
        "model.history_half_life": "log(1, 50)",
        "model.kl_weight": "log(0.03, 3)",
    }

    def __init__(self, config: BayesianMFConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(name="bayesian_mf")
        self.config = config
        self.inputs = inputs
        self.seed = seed
        schema, dim = inputs.schema, config.embedding_dim
        self._history = schema.history if config.use_history else None
        self._user_features, self._item_features = config.features_of(schema)
        self._user_table, self._item_table = self._tables(inputs, seed)
        if self._history is not None:
            feature = schema.features[self._history]
            assert isinstance(feature, SequenceFeature)
            self._pooling = PositionWeightedPooling(feature.length, dim + 1, config.history_half_life)
        stddev = config.embedding_stddev * 0.1
        self._user_side, self._item_side = (
            FeatureMean(f"{side}_side", schema, inputs.num_ids, names, width, stddev=stddev, seed=seed + salt)
            for side, names, width, salt in (
                ("user", self._user_features, dim, 2),
                ("item", self._item_features, dim + 1, 3),
            )
        )
        counts = inputs.train.item_counts()
        self._negatives = make_sampler(config.negatives, counts)
        self._was_taken = tf.constant(counts > 0)
        self._events_of_user = tf.constant(np.maximum(np.diff(inputs.train.row_splits), 1), tf.float32)
        self._catalogue = {name: tf.constant(values) for name, values in inputs.catalogue.features.items()}
        self._explorer = Explorer(config.exploration, seed)
        self._item_means = frozen_variable(tf.zeros([inputs.num_items, dim + 1]), "item_means")
        self._item_variances = frozen_variable(tf.zeros([inputs.num_items, dim + 1]), "item_variances")

    def _tables(self, inputs: ModelInputs, seed: int) -> tuple[PosteriorTable, PosteriorTable]:
        config, dim = self.config, self.config.embedding_dim
        found = []
        for salt, name in enumerate((inputs.schema.user_id, inputs.schema.item_id)):
            feature = inputs.schema.features[name]
            assert isinstance(feature, CategoricalFeature)
            rows, stddev = inputs.num_ids[name], config.embedding_stddev
            is_item = name == inputs.schema.item_id
            offsets = normal_rows(rows, dim, stddev=stddev * (1.0 if is_item else 0.1), seed=[seed, salt])
            found.append(
                PosteriorTable(
                    name,
                    rows,
                    feature.first_token_id,
                    with_bias(offsets, log_counts(inputs)) if is_item else offsets,
                    # Popularity spreads the biases wider than taste spreads the vectors.
                    prior_stddevs=[config.prior_stddev] * dim + [1.0] * is_item,
                    posterior_stddev=config.posterior_stddev,
                )
            )
        return found[0], found[1]

    def _users(self, features: Tensors) -> Posterior:
        """Posteriors of u, [batch, dim]."""
        mean = self._user_side(features)
        if self._history is not None:
            mean += self._pooling(self._item_table.offsets, features[self._history])[:, :-1]
        posterior: Posterior = self._user_table(features[self.inputs.schema.user_id], mean)
        return posterior

    def _items(self, features: Tensors) -> Posterior:
        """Posteriors of (v, b), [rows, dim + 1]."""
        posterior: Posterior = self._item_table(features[self.inputs.schema.item_id], self._item_side(features))
        return posterior

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        items = inputs[ITEM_INDEX]
        users, positives = self._users(inputs), self._items(self._of_catalogue(items))
        queries = _with_one(users.vectors.draw(self.draw_seed(USER_SALT)))
        drawn = self._drawn(items, queries)
        candidates = self._items(self._of_catalogue(drawn.items))
        loss = sampled_softmax(
            queries,
            positives.vectors.draw(self.draw_seed(POSITIVE_SALT)),
            candidates.vectors.draw(self.draw_seed(CANDIDATE_SALT)),
            drawn.items,
            drawn.log_weights,
            KnownPositives.of_rows(items),
            positive_offsets=drawn.positive_offsets,
            num_items=self.inputs.num_items,
            compute_type=self.compute_type if training else tf.float32,
        )
        events = tf.gather(self._events_of_user, inputs[USER_INDEX])
        of_items = tf.reduce_sum(tf.exp(drawn.log_weights) * candidates.divergence)
        of_users = global_mean(users.divergence / events)
        return loss + self.config.kl_weight * (of_users + share(of_items / self.inputs.train.num_events))

    def _drawn(self, items: tf.Tensor, queries: tf.Tensor) -> Negatives:
        """Candidates of a step. That an item was never taken says nothing: it may be newer than all events."""
        drawn = self._negatives.draw(
            items,
            gathered(items),
            self.draw_seed(NEGATIVES_SALT, per_replica=False),
            lambda pool, offsets: mean_softmax(queries, self._items(self._of_catalogue(pool)).vectors.mean, offsets),
        )
        was_taken = tf.gather(self._was_taken, drawn.items)
        return drawn._replace(log_weights=tf.where(was_taken, drawn.log_weights, EXCLUDED))

    def _of_catalogue(self, items: tf.Tensor) -> Tensors:
        return {name: tf.gather(values, items) for name, values in self._catalogue.items()}

    def refresh(self) -> None:
        vectors = self._items(self._catalogue).vectors
        self._item_means.assign(vectors.mean)
        self._item_variances.assign(vectors.variance)

    def scores(self, features: Tensors) -> tf.Tensor:
        users = self._users(features).vectors
        # The coordinate that the items' biases are multiplied with is known to be 1.
        users = Gaussian(_with_one(users.mean), tf.pad(users.log_stddev, [[0, 0], [0, 1]], constant_values=-50.0))
        return self._explorer.scores(users, self._item_means, self._item_variances)

    def embed_users(self, features: Tensors) -> tf.Tensor:
        return _with_one(self._users(features).vectors.mean)

    def embed_items(self, features: Tensors) -> tf.Tensor:
        return self._items(features).vectors.mean

    def embeddings(self) -> TwoTowerEmbeddings | None:
        """The expected vectors, unless the scores explore: a nearest-neighbour search would not."""
        return self if self.config.exploration.kind == "none" else None

    def item_vectors_for_reasons(self) -> tf.Tensor:
        return self._item_means[:, :-1]

    def id_tables(self) -> list[IdTable]:
        schema = self.inputs.schema
        return [
            *self._item_table.id_tables(schema.item_id, self._item_features),
            *self._user_table.id_tables(schema.user_id),
            *self._user_side.id_tables(),
            *self._item_side.id_tables(),
        ]

    def train_columns(self) -> frozenset[str]:
        return self.required_features | {USER_INDEX, ITEM_INDEX}

    @classmethod
    def table_shapes(
        cls, config: BayesianMFConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        dim = config.embedding_dim
        of_users, of_items = config.features_of(schema)
        shapes = []
        for side, name, names, width in (
            ("user", schema.user_id, of_users, dim),
            ("item", schema.item_id, of_items, dim + 1),
        ):
            shapes += [TableShape(f"{name}_{what}", num_ids[name], width) for what in ("offsets", "log_stddevs")]
            found = FieldPlan(schema, num_ids, names).table_shapes(width, first_order=False)
            shapes += [TableShape(f"{side}_features/{shape.name}", shape.rows, width) for shape in found]
        derived = ("item_means", "item_variances")
        return [*shapes, *(TableShape(name, num_items, dim + 1, is_trained=False) for name in derived)]

    @property
    def required_features(self) -> frozenset[str]:
        names = {self.inputs.schema.user_id, *with_weights(self.inputs.schema, self._user_features)}
        return frozenset(names | ({self._history} if self._history else set()))

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.trainable_variables, self._item_means, self._item_variances, *self._explorer.state]


def _with_one(vectors: tf.Tensor) -> tf.Tensor:
    """Users' vectors [batch, dim] → [batch, dim + 1], whose last coordinate meets the items' biases."""
    return tf.pad(vectors, [[0, 0], [0, 1]], constant_values=1.0)
