r"""What the sequence models share: they read a user's events in their order, and score all items as the next one.

.. math:: h_1 \dots h_n = \mathrm{encoder}(x_1 \dots x_n), \qquad s_t(i) = h_t \cdot e_i + b_i

x_t is what is known of event t, above all the vector √dim · e of its item, and e is the same table on both sides. A
model answers from the last step of the history that the request gives, or that the served graph knows of its user: the
next request with one more item has another answer, and nothing is trained for it. Of whom there is no history nothing
is known, and gets what is popular; what nobody took stands last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.dataset.window_batches import NEXT, SEGMENT, STEP, Windows
from tfrec.errors import ConfigError
from tfrec.layers import IdTable, TableShape
from tfrec.models.base import ModelConfig, RetrievalModel, TwoTowerEmbeddings
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel, TrainingRows, frozen_variable
from tfrec.models.profiles.cold_start import popularity_prior
from tfrec.models.sequences.encoder import EncoderConfig, Mode, Steps
from tfrec.models.sequences.encoders import make_encoder
from tfrec.models.sequences.history_rows import history_rows
from tfrec.models.sequences.item_vectors import ItemVectors, Scored
from tfrec.models.sequences.next_item_loss import LossConfig, NextItemLoss, SoftmaxConfig
from tfrec.schema import ITEM_INDEX, Schema, SequenceFeature

ENCODER_SALT, NEGATIVES_SALT, MASK_SALT = 1, 2, 3
NEW_ITEM = -1e3  # bias of an item that nobody took: below all others
LONGEST = 200  # unless told


class SequenceConfig(ModelConfig):
    """Choices that all sequence models have."""

    embedding_dim: int = Field(128, ge=1, description="of items and steps")
    length: int | None = Field(
        None, ge=1, description="events that are read, at most those of the dataset's history; null: those, 200 at most"
    )
    embedding_stddev: float = Field(0.02, gt=0, description="of the initial item vectors")
    loss: LossConfig = SoftmaxConfig()


class Predicted(NamedTuple):
    """Steps of a training batch and what is true of them.

    Attributes:
        steps: that the encoder reads.
        ids: encoded item ids that are to be predicted at each step. int64 [rows, length]
        is_asked: where there is something to predict. bool [rows, length]

    """

    steps: Steps
    ids: tf.Tensor
    is_asked: tf.Tensor


class SequenceModel(RetrievalModel, GradientModel, TwoTowerEmbeddings):
    """Steps → encoder → scores of the next item."""

    config: Any  # a SequenceConfig with an `encoder`
    training_rows: TrainingRows = "windows"
    is_causal: ClassVar[bool] = True

    def __init__(self, config: Any, inputs: ModelInputs, seed: int, name: str) -> None:
        super().__init__(name=name)
        self.config = config
        self.inputs = inputs
        self.seed = seed
        schema, dim = inputs.schema, config.embedding_dim
        self._length = self.windows(config, schema).length
        self._items = ItemVectors(inputs, dim, config.embedding_stddev, seed)
        self._encoder = make_encoder(config.encoder, dim, self.steps_read(), seed + 1, is_causal=self.is_causal)
        counts = inputs.train.item_counts()
        self._ids = tf.constant(inputs.catalogue.features[schema.item_id], tf.int64)
        # The catalogue stands in the order of the vocabulary, behind it what nobody took.
        self._loss = NextItemLoss(config.loss, counts[: self._items.num_classes])
        self._prior = frozen_variable(popularity_prior(counts), "popularity_prior")
        self._vectors = frozen_variable(tf.zeros([inputs.num_items, dim + 2]), "item_vectors")

    def steps_read(self) -> int:
        """Steps of the longest segment that the encoder meets."""
        return self._length

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        seed = self.draw_seed(ENCODER_SALT) if training else None
        mode = Mode(self.compute_type if training else tf.float32, seed)
        asked = self._asked(inputs)
        outputs = self._encoder.encode(asked.steps, mode)
        classes = asked.ids - self._items.first
        is_known = asked.is_asked & (classes >= 0)
        return self._loss(
            tf.reshape(outputs, [-1, self.config.embedding_dim]),
            tf.reshape(tf.where(is_known, classes, 0), [-1]),
            tf.reshape(tf.cast(is_known, tf.float32), [-1]),
            self._items,
            self.draw_seed(NEGATIVES_SALT),
            mode.compute_type,
        )

    def _asked(self, inputs: Tensors) -> Predicted:
        """What a batch of windows asks: here the next item at every step."""
        steps = self._steps(tf.gather(self._ids, inputs[ITEM_INDEX]), inputs[SEGMENT], inputs[STEP])
        return Predicted(steps, tf.gather(self._ids, inputs[NEXT + ITEM_INDEX]), inputs[SEGMENT] > 0)

    def _steps(self, ids: tf.Tensor, segments: tf.Tensor, places: tf.Tensor) -> Steps:
        vectors = tf.where((segments > 0)[:, :, None], self._items.steps(ids), 0.0)
        return Steps(vectors, segments, places)

    def embed_users(self, features: Tensors) -> tf.Tensor:
        """Encoded features → float32 [batch, dim + 2]: the last step's output, 1 and 1; 0, 0 and 1 without history.

        The last two columns meet the items' biases and their popularity.
        """
        assert self.inputs.schema.history is not None
        rows = history_rows(features[self.inputs.schema.history], self._length)
        outputs = self._summary(features, rows)
        has_history = (rows.counts > 0)[:, None]
        ones = tf.ones_like(outputs[:, :1])
        return tf.concat([tf.where(has_history, tf.concat([outputs, ones], axis=1), 0.0), ones], axis=1)

    def _summary(self, features: Tensors, rows: Any) -> tf.Tensor:
        """What the encoder says of each history, [batch, dim]."""
        ids = rows.take(tf.cast(features[self.inputs.schema.history], tf.int64))
        return self._encoder.summarise(self._steps(ids, rows.segments, rows.places), tf.maximum(rows.counts - 1, 0))

    def embed_items(self, features: Tensors) -> tf.Tensor:
        """Encoded item features → float32 [batch, dim + 2]: vector, bias, and what popularity adds."""
        ids = tf.cast(features[self.inputs.schema.item_id], tf.int64)
        classes = ids - self._items.first
        prior = tf.where(classes >= 0, tf.gather(self._prior, tf.maximum(classes, 0)), 0.0)
        return self._vectors_of(ids, prior)

    def _vectors_of(self, ids: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        found: Scored = self._items.of_ids(ids)
        is_new = prior <= 0  # even the rarest item that was taken has some
        vectors = tf.where(is_new[:, None], 0.0, found.vectors)
        return tf.concat([vectors, tf.where(is_new, NEW_ITEM, found.biases)[:, None], prior[:, None]], axis=1)

    def refresh(self) -> None:
        self._vectors.assign(self._vectors_of(self._ids, self._prior))

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

    def train_columns(self) -> frozenset[str]:
        return frozenset({ITEM_INDEX})

    @property
    def required_features(self) -> frozenset[str]:
        assert self.inputs.schema.history is not None
        return frozenset({self.inputs.schema.user_id, self.inputs.schema.history})

    def id_tables(self) -> list[IdTable]:
        return self._items.id_tables()

    @classmethod
    def table_shapes(cls, config: Any, schema: Schema, num_ids: Mapping[str, int], num_items: int) -> list[TableShape]:
        dim = config.embedding_dim
        found = ItemVectors.table_shapes(schema, num_ids, dim)
        return [*found, TableShape("item_vectors", num_items, dim + 2, is_trained=False)]

    @classmethod
    def activations(cls, config: Any, schema: Schema) -> int:
        encoder: EncoderConfig = config.encoder
        return config.embedding_dim + encoder.activations(config.embedding_dim, cls.windows(config, schema).length)

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.trainable_variables, self._prior, self._vectors]


def with_kind(given: Any, kind: str) -> Any:
    """A section of a config that names no kind → that of the default, so that one key of it can be set alone."""
    return {"kind": kind, **given} if isinstance(given, dict) else given
