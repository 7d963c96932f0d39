"""The feature transform: built once from schema and analysis, saved in the dataset, used everywhere.

The SavedModel has one signature per feature, `values [n] → encoded [n]`, of texts [n, max_tokens]. `FeatureTransform`
adds the shapes, `several_numbers` those of vectors and weights.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from tfrec.errors import ArtifactError
from tfrec.feature_transform.analysis import FeatureAnalysis
from tfrec.feature_transform.encoders import encoder_of
from tfrec.feature_transform.missing import is_missing
from tfrec.feature_transform.several_numbers import dense_vectors, weights_of_tokens
from tfrec.schema import (
    EVENT_TIME_MS,
    GAP_SECONDS,
    LABEL,
    CategoricalFeature,
    Feature,
    NumericFeature,
    Schema,
    SequenceFeature,
    VectorFeature,
    WeightsFeature,
)

SEQUENCE_NUMBERS = (LABEL, EVENT_TIME_MS, GAP_SECONDS)  # of sequences, taken as they are


def build_transform(schema: Schema, analysis: FeatureAnalysis, directory: Path) -> None:
    """Write the SavedModel of the transform to `directory`."""
    module = tf.Module(name="feature_transform")
    module.encoders = {}
    signatures = {}
    for name, feature in schema.encoded.items():
        if isinstance(feature, SequenceFeature):
            continue  # encoded by the item id's own encoder
        encoder = encoder_of(name, feature, analysis)
        module.encoders[name] = encoder
        signatures[name] = _elementwise(encoder, _raw_dtype(feature))
    tf.saved_model.save(module, str(directory), signatures=signatures)


def _elementwise(encoder: tf.Module, dtype: tf.DType) -> tf.types.experimental.PolymorphicFunction:
    @tf.function(input_signature=[tf.TensorSpec([None], dtype, name="values")], autograph=False)
    def encode(values: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"encoded": encoder(values)}

    return encode


def raw_specs(features: dict[str, Feature]) -> dict[str, tf.TensorSpec]:
    """The raw inputs: string or float32 [batch]; [batch, n] for several values, padded with `missing_value`.

    Tokens and items may be padded anywhere, weights where their tokens are. Sequences of anything else stand beside
    their items, value by value: they are padded at the end. Sequences of `event_time_ms` are int64. A vector has
    `length` numbers; a row without one any number of NaN.
    """
    return {
        name: tf.TensorSpec([None, None] if is_list(feature) else [None], _raw_dtype(feature), name=name)
        for name, feature in features.items()
    }


def is_list(feature: Feature) -> bool:
    """Whether a row holds several values of this feature."""
    if isinstance(feature, CategoricalFeature):
        return feature.multivalued
    return isinstance(feature, SequenceFeature | VectorFeature | WeightsFeature)


class FeatureTransform(tf.Module):
    """The saved transform, on batches. Works inside a tf.function too, so export can put it before a model."""

    def __init__(self, schema: Schema, directory: str | Path) -> None:
        """Load the transform of a dataset.

        Raises:
            ArtifactError: `directory` holds no transform, or one of another schema.

        """
        super().__init__(name="feature_transform")
        self._schema = schema
        try:
            self._saved = tf.saved_model.load(str(directory))
        except OSError:
            raise ArtifactError(f"{directory}: no feature transform here; is this a dataset?") from None
        known = set(self._saved.signatures)
        wanted = {n for n, f in schema.encoded.items() if not isinstance(f, SequenceFeature)}
        if known != wanted:
            raise ArtifactError(f"{directory}: encodes {sorted(known)}, but the schema has {sorted(wanted)}")

    def encode_values(self, name: str, values: tf.Tensor) -> tf.Tensor:
        """Encode flat raw values [n] of one feature → [n], of a text [n, max_tokens]."""
        if isinstance(self._schema.features[name], SequenceFeature):
            name = self._schema.sequence_source(name)
            if name in SEQUENCE_NUMBERS:
                return tf.where(is_missing(values), tf.zeros_like(values), values)
        return self._saved.signatures[name](values=values)["encoded"]

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Encode a batch of any of the schema's features.

        Args:
            raw: feature → tensor as `raw_specs` says: string or float32 [batch], or string or float32 [batch, n].
                Weights need the feature that they weigh beside them.

        Returns:
            feature → int64 or float32 [batch]; int64 [batch, max_values], [batch, length] or [batch, max_tokens] where
            a row has several values, padded at the end with 0; float32 of vectors and weights. Text without tokens is
            left out. Of a history the last `length` items are kept, of several values the first `max_values`, of a text
            the first `max_tokens` words.

        Raises:
            ValueError: there are weights without the feature that they weigh.

        """
        return {name: self._encode(name, raw) for name in raw if name in self._schema.encoded}

    def _encode(self, name: str, raw: dict[str, tf.Tensor]) -> tf.Tensor:
        feature, values = self._schema.features[name], raw[name]
        if isinstance(feature, VectorFeature):
            dense = dense_vectors(values, feature.length, name)
            return tf.reshape(self.encode_values(name, tf.reshape(dense, [-1])), tf.shape(dense))
        if isinstance(feature, WeightsFeature):
            if feature.of not in raw:
                raise ValueError(f"{name!r} weighs {feature.of!r}, which is not given; give both")
            assert feature.max_values is not None
            weights = weights_of_tokens(values, raw[feature.of])[:, : feature.max_values]
            encoded = weights.with_flat_values(self.encode_values(name, weights.flat_values))
            return encoded.to_tensor(default_value=0.0, shape=[None, feature.max_values])
        return self._encode_list(name, values) if is_list(feature) else self.encode_values(name, values)

    def _encode_list(self, name: str, values: tf.Tensor) -> tf.Tensor:
        feature = self._schema.features[name]
        is_there = tf.logical_not(is_missing(values))
        if isinstance(feature, SequenceFeature):
            width = feature.length
            if self._schema.sequence_source(name) == self._schema.item_id:
                kept = tf.ragged.boolean_mask(values, is_there)
            else:  # a value may be missing in the middle, where the item beside it is not
                places = tf.where(is_there, tf.range(1, tf.shape(values)[1] + 1)[None, :], 0)
                kept = tf.RaggedTensor.from_tensor(values, lengths=tf.reduce_max(places, axis=1))
            kept = kept[:, -width:]
        else:
            assert isinstance(feature, CategoricalFeature)
            width = feature.max_values
            kept = tf.ragged.boolean_mask(values, is_there)[:, :width]
        encoded = kept.with_flat_values(self.encode_values(name, kept.flat_values))
        return encoded.to_tensor(default_value=0, shape=[None, width])


def _raw_dtype(feature: Feature) -> tf.DType:
    if isinstance(feature, SequenceFeature) and feature.of in SEQUENCE_NUMBERS:
        return tf.int64 if feature.of == EVENT_TIME_MS else tf.float32
    return tf.float32 if isinstance(feature, NumericFeature | VectorFeature | WeightsFeature) else tf.string
