r"""A user's past as fields: its events' vectors, in the tables of the candidate, pooled to one for each sequence.

.. math:: u = \frac1n \sum_{r=1}^{n} h_r \qquad\text{or}\qquad u = \sum_{r=1}^{n} a(h_r, c)\, h_r

h_r is the vector of past event r, c that of the candidate. a is a small network that asks how much the event says about
this candidate (Zhou et al. 2018, Deep Interest Network, eq. 3). Its values are no softmax: they do not add up to 1, so
that a user with many events of the kind is another than one with few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.layers.activation_unit import ActivationUnit
from tfrec.layers.feature_embedding import FeatureEmbedding
from tfrec.layers.field_plan import FieldPlan
from tfrec.row_sums import sum_rows
from tfrec.schema import Schema, SequenceFeature

History = Literal["none", "mean", "attention"]


def history_sources(schema: Schema, plan: FieldPlan) -> dict[str, str]:
    """Sequences that make fields → the field whose vectors they read.

    They are the schema's history, and the sequences beside it (of the same events) whose source is a field as well,
    such as the categories of the items.

    Raises:
        ConfigError: there is no history, it is a field on its own already, or the item is no field.

    """
    history = schema.history
    if history is None:
        raise ConfigError(
            "model.history: the dataset has no sequence of items; add one (`history: {role: user, kind: sequence}`) to "
            "its dataset.yaml and run the transforms again, or set model.history=none"
        )
    if schema.item_id not in plan.rows:
        raise ConfigError(
            f"model.history: reads the vectors of {schema.item_id!r}, which is not among model.features; name it "
            "there, or set model.history=none"
        )
    found: dict[str, str] = {}
    for name in schema.side_by_side(history):
        feature = schema.features[name]
        source = schema.sequence_source(name) if isinstance(feature, SequenceFeature) else None
        if source is None or source not in plan.rows or source in plan.multivalued:
            continue
        if name in plan.rows:
            raise ConfigError(
                f"model.history: {name!r} is among model.features too, as a field with a table of its own; "
                "name it in one of the two"
            )
        found[name] = source
    return found


class HistoryFields(tf.keras.layers.Layer):  # type: ignore[misc]
    """Pools the sequences of a user's events."""

    def __init__(
        self, plan: FieldPlan, schema: Schema, kind: History, dim: int, *, units: Sequence[int], seed: int
    ) -> None:
        """Make the network of the attention, if there is any.

        Args:
            plan: the other fields.
            schema: of the dataset.
            kind: how events are pooled.
            dim: of the vectors.
            units: widths of the attention's hidden layers.
            seed: of its kernels.

        Raises:
            ConfigError: the dataset or the fields do not allow it; see `history_sources`.

        """
        super().__init__(name="history_fields")
        sources = {} if kind == "none" else history_sources(schema, plan)
        self._sources = tuple(sources.items())
        self._places = [plan.fields.index(source) for source in sources.values()]
        self._items = schema.history or ""
        self._unit: ActivationUnit | None = None
        if kind == "attention":
            feature = schema.features[self._items]
            assert isinstance(feature, SequenceFeature)
            self._unit = ActivationUnit(dim * len(sources), units, share=1.0 / feature.length, seed=seed)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the sequences that become fields."""
        return tuple(name for name, _ in self._sources)

    @property
    def required_features(self) -> frozenset[str]:
        return frozenset({*self.fields, *([self._items] if self._sources else [])})

    def call(self, embedding: FeatureEmbedding, features: Tensors, vectors: tf.Tensor) -> tf.Tensor:
        """Pool a batch.

        Args:
            embedding: of the other fields.
            features: encoded; sequences are padded at the end with 0. int64 [batch, length]
            vectors: of the other fields, in the order of their plan. float [batch, fields, dim]

        Returns:
            float [batch, sequences, dim]; zeros for an empty history.

        """
        items = features[self._items]
        batch, dim = tf.shape(items)[0], vectors.shape[2]
        is_event = items != 0
        row = tf.cast(tf.where(is_event)[:, 0], tf.int32)  # of each event
        events = [
            embedding.look_up(source, tf.boolean_mask(features[name], is_event)) for name, source in self._sources
        ]
        past = events[0] if len(events) == 1 else tf.concat(events, axis=1)  # [events, sequences · dim]
        if self._unit is None:
            counts = tf.math.unsorted_segment_sum(tf.ones_like(row, past.dtype), row, batch)
            weights = tf.math.reciprocal_no_nan(tf.gather(counts, row))
        else:
            candidate = tf.reshape(tf.gather(vectors, self._places, axis=1), [batch, past.shape[1]])
            weights = self._unit(past, candidate, row)
        return tf.reshape(sum_rows(past, row, batch, weights), [batch, len(events), dim])
