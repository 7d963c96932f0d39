r"""What is known of an event besides its item: at each step of the past, and at the request that is to be answered.

A step's vector gets the vectors of its context and time added. At the request they bend the output h of the encoder,

.. math:: q = h \circ (1 + w(c)) + a(c)

as in Latent Cross (Beutel et al. 2018): w says which parts of the taste count now, a what is wanted now by everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.dataset.window_batches import NEXT
from tfrec.errors import ConfigError
from tfrec.layers import FeatureEmbedding, FieldPlan, IdTable, TableShape, choose_features, with_weights
from tfrec.models.base import ModelConfig
from tfrec.models.sequences.history_rows import HistoryRows
from tfrec.models.sequences.time_vectors import TimePart, TimeVectors
from tfrec.schema import EVENT_TIME_MS, Schema, SequenceFeature

CONTEXT_STDDEV = 0.02


class ContextConfig(ModelConfig):
    """Which context a sequence model reads."""

    context_features: tuple[str, ...] = Field(
        (),
        description="of the events, such as device or event type: of the request, and of each step where the dataset "
        "has a sequence of them beside the history",
    )
    time: tuple[TimePart, ...] = Field(
        (),
        description="gap: since the step before, at the request since the last one; hour, weekday: of each step and of "
        "the request",
    )
    context_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of the training steps at which the request's context and time are hidden, so that requests "
        "which do not say them are answered well too",
    )


class Context(NamedTuple):
    """Of events: features by name, [...] or [..., width], and Unix times int64 [...]; 0 or None: not known."""

    features: Tensors
    times_ms: tf.Tensor | None


class StepContext(tf.keras.layers.Layer):  # type: ignore[misc]
    """Vectors of the context of steps and requests."""

    def __init__(
        self, config: ContextConfig, schema: Schema, num_ids: Mapping[str, int], dim: int, seed: int, *, has_bias: bool
    ) -> None:
        """Make the tables.

        Args:
            config: what is read.
            schema: of the dataset.
            num_ids: feature → number of its ids.
            dim: of the steps.
            seed: of the initial vectors.
            has_bias: whether the encoder wants the times of the steps too.

        Raises:
            ConfigError: a feature is no context, or there is no time to read.

        """
        super().__init__(name="step_context")
        self._schema, self._dim, self._hidden_share = schema, dim, config.context_dropout
        self.request_names = choose_features(
            schema, config.context_features, roles=("context",), key="model.context_features"
        )
        self.sequences = sequences_of(schema, self.request_names)
        self.reads_times = bool(config.time) or has_bias
        self.times = sequences_of(schema, (EVENT_TIME_MS,)).get(EVENT_TIME_MS)
        if self.reads_times and (schema.timestamp is None or self.times is None):
            raise ConfigError(
                f"model.{'time' if config.time else 'encoder.relative_time'}: needs a timestamp and the times of the "
                "history; add to dataset.yaml such as times: {role: user, kind: sequence, of: event_time_ms, length: …}"
                f", as long as {schema.history!r}"
            )
        plans = (FieldPlan(schema, num_ids, tuple(self.sequences)), FieldPlan(schema, num_ids, self.request_names))
        self.step_vectors, self.request_vectors = (
            FeatureEmbedding(plan, width, stddev=CONTEXT_STDDEV, seed=seed + number, first_order=False)
            if plan.fields
            else None
            for number, (plan, width) in enumerate(zip(plans, (dim, 2 * dim), strict=True))
        )
        self.time_of_steps = TimeVectors(config.time, dim, "time_of_steps") if config.time else None
        self.time_of_request = TimeVectors(config.time, 2 * dim, "time_of_request") if config.time else None

    def train_columns(self) -> frozenset[str]:
        """Columns of the events' records."""
        times = {EVENT_TIME_MS} if self.reads_times else set()
        return frozenset({*with_weights(self._schema, self.request_names), *times})

    @property
    def required_features(self) -> frozenset[str]:
        """Features that answering reads: of the request, and beside the history."""
        needed = {*with_weights(self._schema, self.request_names), *self.sequences.values()}
        if self.reads_times and self.times is not None:
            needed |= {EVENT_TIME_MS, self.times}
        return frozenset(needed)

    def of_batch(self, inputs: Tensors, *, is_next: bool) -> Context:
        """Context of the steps of a training batch, or of the events after them."""
        prefix = NEXT if is_next else ""
        names = with_weights(self._schema, self.request_names)
        times = inputs[prefix + EVENT_TIME_MS] if self.reads_times else None
        return Context({name: inputs[prefix + name] for name in names}, times)

    def of_history(self, features: Tensors, rows: HistoryRows) -> Context:
        """Context of the steps of requests."""
        found = {name: rows.take(features[sequence]) for name, sequence in self.sequences.items()}
        return Context(found, rows.take(features[self.times]) if self.reads_times and self.times else None)

    def of_requests(self, features: Tensors) -> Context:
        """Context of the requests themselves, [batch]."""
        names = with_weights(self._schema, self.request_names)
        return Context({name: features[name] for name in names}, features[EVENT_TIME_MS] if self.reads_times else None)

    def partly_hidden(self, context: Context, like: tf.Tensor, seed: tf.Tensor) -> Context:
        """The context of requests, of which a share does not say any. `like`: of the shape of the requests."""
        if not (self.request_names or self.reads_times) or not self._hidden_share:
            return context
        is_hidden = tf.random.stateless_uniform(tf.shape(like), seed, alg="philox") < self._hidden_share
        rank = like.shape.rank

        def hidden(values: tf.Tensor) -> tf.Tensor:
            wide = tf.reshape(is_hidden, tf.concat([tf.shape(like), [1] * (values.shape.rank - rank)], axis=0))
            return tf.where(wide, tf.zeros([], values.dtype), values)

        times = None if context.times_ms is None else hidden(context.times_ms)
        return Context({name: hidden(values) for name, values in context.features.items()}, times)

    def without(self, context: Context, names: tuple[str, ...]) -> Context:
        """The context of requests that do not say some features."""
        said = {name: tf.zeros_like(values) if name in names else values for name, values in context.features.items()}
        return context._replace(features=said)

    def at_steps(self, context: Context, places: tf.Tensor) -> tf.Tensor | float:
        """What is added to the steps, float32 [rows, length, dim]; 0 where nothing is read."""
        total: tf.Tensor | float = 0.0
        if self.step_vectors is not None:
            vectors = _summed(self.step_vectors, context.features, places)
            total += tf.reshape(vectors, [*tf.unstack(tf.shape(places)), self._dim])
        if self.time_of_steps is not None:
            total += self.time_of_steps.of(context.times_ms, times_before(context.times_ms, places))
        return total

    def at_request(self, outputs: tf.Tensor, context: Context, before_ms: tf.Tensor | None) -> tf.Tensor:
        """Bend the outputs of the encoder.

        Args:
            outputs: float32 [..., dim].
            context: of the events that are asked for, [...].
            before_ms: Unix time of the latest step that is known, int64 [...]; None where no time is read.

        """
        if self.request_vectors is None and self.time_of_request is None:
            return outputs
        bent: tf.Tensor | float = 0.0
        shape = [*tf.unstack(tf.shape(outputs))[:-1], 2 * self._dim]
        if self.request_vectors is not None:
            bent += tf.reshape(_summed(self.request_vectors, context.features, outputs[..., 0]), shape)
        if self.time_of_request is not None:
            bent += self.time_of_request.of(context.times_ms, before_ms)
        factors, added = tf.split(bent, 2, axis=-1)
        return outputs * (1.0 + factors) + added

    def id_tables(self) -> list[IdTable]:
        return [
            table
            for part in (self.step_vectors, self.request_vectors)
            if part is not None
            for table in part.id_tables()
        ]

    @staticmethod
    def table_shapes(config: ContextConfig, schema: Schema, num_ids: Mapping[str, int], dim: int) -> list[TableShape]:
        names = choose_features(schema, config.context_features, roles=("context",), key="model.context_features")
        found = []
        for where, fields, width in (
            ("steps", tuple(sequences_of(schema, names)), dim),
            ("request", names, 2 * dim),
        ):
            shapes = FieldPlan(schema, num_ids, fields).table_shapes(width, first_order=False)
            found += [TableShape(f"context_of_{where}/{shape.name}", shape.rows, width) for shape in shapes]
        return found


def sequences_of(schema: Schema, sources: tuple[str, ...]) -> dict[str, str]:
    """Source → the sequence of it beside the history, for those that have one."""
    if schema.history is None:
        return {}
    beside = [n for n in schema.side_by_side(schema.history) if isinstance(schema.features[n], SequenceFeature)]
    by_source = {schema.sequence_source(name): name for name in beside}
    return {source: by_source[source] for source in sources if source in by_source}


def times_before(times_ms: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Time of the step before each one of its segment, 0 for the first. int64 [rows, length]"""
    shifted = tf.pad(times_ms[:, :-1], [[0, 0], [1, 0]])
    return tf.where(places > 0, shifted, tf.zeros_like(shifted))


def _summed(embedding: FeatureEmbedding, features: Tensors, like: tf.Tensor) -> tf.Tensor:
    """Sum of the fields' vectors, [n, dim]; features are [...] as `like` or [..., width]."""
    rank, flat = like.shape.rank, {}
    for name, values in features.items():
        if name in embedding.plan.required_features:
            flat[name] = tf.reshape(values, [-1, *values.shape[rank:]])
    return tf.reduce_sum(embedding(flat).vectors, axis=1)
