r"""What the sequence models share: they read a user's events in their order, and score all items as the next one.

.. math:: h_1 \dots h_n = \mathrm{encoder}(x_1 \dots x_n), \qquad s_t(i) = q(h_t, c_{t+1}) \cdot e_i + b_i

x_t is what is known of event t: the vector √dim · e of its item, where e is the same table on both sides, and what
`step_context` adds. c is what is known of the request, and q bends the output by it. A model answers from the last step
of the history that the request gives, or that the served graph knows of its user: the next request with one more item
has another answer, and nothing is trained for it. Who has no history gets what is popular; items that nobody took, and
of which no features are read, stand last. On demand it says of the next event more than its item: `next_context`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.dataset.window_batches import NEXT, SEGMENT, STEP, Windows
from tfrec.errors import ConfigError
from tfrec.layers import IdTable, TableShape
from tfrec.losses.seen_items import SeenItems
from tfrec.models.base import PredictsContext, RetrievalModel, TwoTowerEmbeddings
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel, TrainingRows, frozen_variable
from tfrec.models.profiles.cold_start import popularity_prior
from tfrec.models.sequences.asked import Asked
from tfrec.models.sequences.encoder import Mode, Steps
from tfrec.models.sequences.encoders import make_encoder
from tfrec.models.sequences.history_rows import HistoryRows, by_length, history_rows
from tfrec.models.sequences.item_dropout import partly_hidden
from tfrec.models.sequences.item_vectors import ItemVectors
from tfrec.models.sequences.next_context import NextContext
from tfrec.models.sequences.next_item_loss import NextItemLoss
from tfrec.models.sequences.sequence_config import SequenceConfig
from tfrec.models.sequences.step_context import Context, StepContext
from tfrec.schema import ITEM_INDEX, Schema, SequenceFeature

ENCODER_SALT, NEGATIVES_SALT, MASK_SALT, CONTEXT_SALT, ORDER_SALT, ITEM_SALT = 1, 2, 3, 4, 5, 6
LONGEST = 200  # unless told


class SequenceModel(RetrievalModel, GradientModel, TwoTowerEmbeddings, PredictsContext):
    """Steps → encoder → scores of the next item."""

    config: SequenceConfig
    training_rows: TrainingRows = "windows"
    is_causal: ClassVar[bool] = True
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 6400,
        "learning_rate": 0.003,
        "schedule": {"kind": "cosine", "warmup_steps": 200},
        "clip_norm": 1.0,
        "epochs": 40,
        "patience": 10,
    }

    def __init__(self, config: SequenceConfig, inputs: ModelInputs, seed: int, name: str) -> None:
        super().__init__(name=name)
        self.config = config
        self.inputs = inputs
        self.seed = seed
        schema, dim = inputs.schema, config.embedding_dim
        self._length = self.windows(config, schema).length
        self._items = ItemVectors(config, inputs, seed)
        self._encoder = make_encoder(config.encoder, dim, self._length, seed + 2, is_causal=self.is_causal)
        has_bias = self._encoder.reads_times
        self._context = StepContext(config, schema, inputs.num_ids, dim, seed + 3, has_bias=has_bias)
        self._next = NextContext(config, inputs, dim, seed + 4)
        counts = inputs.train.item_counts()
        self._ids = tf.constant(inputs.catalogue.features[schema.item_id], tf.int64)
        # The catalogue stands in the order of the vocabulary, behind it what has no id of its own.
        self._loss = NextItemLoss(config.loss, counts[: self._items.num_classes])
        self._prior = frozen_variable(popularity_prior(counts), "popularity_prior")
        self._vectors = frozen_variable(tf.zeros([inputs.num_items, dim + 2]), "item_vectors")

    @property
    def history_length(self) -> int:
        """Events of a history that are read."""
        return self._length

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        seed = self.draw_seed(ENCODER_SALT) if training else None
        mode = Mode(self.compute_type if training else tf.float32, seed)
        asked = self._asked(inputs, training)
        outputs = self._encoder.encode(asked.steps, mode)
        context = asked.context
        if training:
            context = self._context.partly_hidden(context, asked.ids, self.draw_seed(CONTEXT_SALT))
        loss = self._item_loss(asked, self._context.at_request(outputs, context, asked.before_ms), mode.compute_type)
        if self._next.names:
            unsaid = self._context.without(context, self._next.names)
            queries = self._context.at_request(outputs, unsaid, asked.before_ms)
            loss += self._next.loss(queries, asked.predicted, asked.is_asked, mode.compute_type)
        return loss

    def _item_loss(self, asked: Asked, queries: tf.Tensor, compute_type: tf.DType) -> tf.Tensor:
        rows = asked.rows(queries, self._items.first, is_causal=self.is_causal)
        seen = None
        if self._loss.excludes_seen:
            past = asked.past - self._items.first
            seen = SeenItems.of_windows(past, asked.steps.places, self._items.num_classes)
        drawn = self.draw_seed(NEGATIVES_SALT, per_replica=False)
        return self._loss(rows, self._items, drawn, compute_type, seen)

    def _asked(self, inputs: Tensors, training: bool = False) -> Asked:
        """What a batch of windows asks: here the next item at every step."""
        context = self._context.of_batch(inputs, is_next=False)
        past, following = (tf.gather(self._ids, inputs[prefix + ITEM_INDEX]) for prefix in ("", NEXT))
        steps = self._window_steps(past, inputs, context, training)
        after = self._context.of_batch(inputs, is_next=True)
        predicted = {name: inputs[NEXT + name] for name in self._next.names}
        return Asked(steps, past, following, inputs[SEGMENT] > 0, after, context.times_ms, predicted)

    def _window_steps(self, ids: tf.Tensor, inputs: Tensors, context: Context, training: bool) -> Steps:
        if training:
            ids = partly_hidden(ids, self.config.item_dropout, self.draw_seed(ITEM_SALT))
        return self._steps(ids, inputs[SEGMENT], inputs[STEP], context)

    def _steps(self, ids: tf.Tensor, segments: tf.Tensor, places: tf.Tensor, context: Context) -> Steps:
        vectors = self._items.steps(ids) + self._context.at_steps(context, places)
        vectors = tf.where((segments > 0)[:, :, None], vectors, 0.0)
        return Steps(vectors, segments, places, context.times_ms)

    def embed_users(self, features: Tensors) -> tf.Tensor:
        """Encoded features → float32 [batch, dim + 2]: the query, 1 and 1; 0, 0 and 1 without history.

        The last two columns meet the items' biases and their popularity.
        """
        found = by_length(self._embed, self._read_of(features), self._history)
        return tf.ensure_shape(found, [None, self.config.embedding_dim + 2])

    def next_context(self) -> PredictsContext | None:
        return self if self._next.names else None

    @property
    def predicted_tokens(self) -> Mapping[str, np.ndarray]:
        return {name: self.inputs.context[name].tokens for name in self._next.names}

    def context_probabilities(self, features: Tensors) -> Tensors:
        sizes = [len(tokens) for tokens in self.predicted_tokens.values()]
        found = by_length(self._next_values, self._read_of(features), self._history)
        parts = tf.split(tf.ensure_shape(found, [None, sum(sizes)]), sizes, axis=1)
        return dict(zip(self._next.names, parts, strict=True))

    def _embed(self, features: Tensors) -> tf.Tensor:
        queries, has_history = self._queries(features, self._context.of_requests(features))
        ones = tf.ones_like(queries[:, :1])
        return tf.concat([tf.where(has_history[:, None], tf.concat([queries, ones], axis=1), 0.0), ones], axis=1)

    def _next_values(self, features: Tensors) -> tf.Tensor:
        """Probabilities of all predicted features side by side, float32 [batch, all tokens]."""
        unsaid = self._context.without(self._context.of_requests(features), self._next.names)
        return tf.concat([*self._next.probabilities(*self._queries(features, unsaid)).values()], axis=1)

    def _queries(self, features: Tensors, asked: Context) -> tuple[tf.Tensor, tf.Tensor]:
        """Of requests with this context: float32 [batch, dim], and whether they have a history, bool [batch]."""
        rows = history_rows(features[self._history], self.history_length)
        context = self._context.of_history(features, rows)
        steps, last = self._history_steps(features, rows, context)
        before_ms = None
        if context.times_ms is not None:
            before_ms = tf.gather(context.times_ms, tf.maximum(rows.counts - 1, 0), batch_dims=1)
        return self._context.at_request(self._encoder.summarise(steps, last), asked, before_ms), rows.counts > 0

    def _history_steps(self, features: Tensors, rows: HistoryRows, context: Context) -> tuple[Steps, tf.Tensor]:
        """Steps of requests, and which of them is asked, int32 [batch]."""
        ids = rows.take(tf.cast(features[self._history], tf.int64))
        return self._steps(ids, rows.segments, rows.places, context), tf.maximum(rows.counts - 1, 0)

    def embed_items(self, features: Tensors) -> tf.Tensor:
        """Encoded item features → float32 [batch, dim + 2]: vector, bias, and what popularity adds."""
        classes = tf.cast(features[self.inputs.schema.item_id], tf.int64) - self._items.first
        return self._vectors_of(features, tf.where(classes >= 0, tf.gather(self._prior, tf.maximum(classes, 0)), 0.0))

    def _vectors_of(self, features: Tensors, prior: tf.Tensor) -> tf.Tensor:
        # Even the rarest item that was taken has some popularity.
        found = self._items.of_items(features, prior > 0)
        return tf.concat([found.vectors, found.biases[:, None], prior[:, None]], axis=1)

    def refresh(self) -> None:
        features = {name: tf.constant(self.inputs.catalogue.features[name]) for name in self._items.reads}
        self._vectors.assign(self._vectors_of(features, self._prior))

    def scores(self, features: Tensors) -> tf.Tensor:
        return tf.matmul(self.embed_users(features), self._vectors, transpose_b=True)

    def embeddings(self) -> TwoTowerEmbeddings:
        return self

    def item_vectors_for_reasons(self) -> tf.Tensor:
        return self._vectors[:, :-2]

    @classmethod
    def windows(cls, config: Any, schema: Schema) -> Windows:
        if schema.history is None:
            raise ConfigError(
                "model: reads the user's history, and the dataset has none; add a feature of kind sequence to "
                "dataset.yaml, such as history: {role: user, kind: sequence, length: 200}"
            )
        feature = schema.features[schema.history]
        assert isinstance(feature, SequenceFeature)
        return Windows(min(config.length or LONGEST, feature.length), has_next=cls.is_causal)

    def _read_of(self, features: Tensors) -> Tensors:
        return {name: features[name] for name in self.required_features}

    @property
    def _history(self) -> str:
        assert self.inputs.schema.history is not None
        return self.inputs.schema.history

    def train_columns(self) -> frozenset[str]:
        return self._context.train_columns() | {ITEM_INDEX, *self._next.names}

    @property
    def required_features(self) -> frozenset[str]:
        return self._context.required_features | {self.inputs.schema.user_id, self._history}

    def id_tables(self) -> list[IdTable]:
        return [*self._items.id_tables(), *self._context.id_tables(), *self._next.id_tables()]

    @classmethod
    def table_shapes(cls, config: Any, schema: Schema, num_ids: Mapping[str, int], num_items: int) -> list[TableShape]:
        of_items = ItemVectors.table_shapes(config, schema, num_ids)
        of_context = StepContext.table_shapes(config, schema, num_ids, config.embedding_dim)
        of_next = NextContext.table_shapes(config, schema, num_ids, config.embedding_dim)
        vectors = TableShape("item_vectors", num_items, config.embedding_dim + 2, is_trained=False)
        return [*of_items, *of_context, *of_next, vectors]

    @classmethod
    def activations(cls, config: Any, schema: Schema) -> int:
        return config.embedding_dim + config.encoder.activations(
            config.embedding_dim, cls.windows(config, schema).length
        )

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.trainable_variables, *self._items.state, *self._next.state, self._prior, self._vectors]
