"""One encoder per kind of feature: an elementwise map from flat raw values to encoded values.

Each has `__call__(values)` on a vector, in stock TensorFlow ops; a text alone becomes several values. Shapes (several
values per row, histories) are the business of `transform.py`, so that Beam can encode only the distinct values of a
column.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from tfrec.feature_transform.analysis import FeatureAnalysis, NumericAnalysis
from tfrec.feature_transform.tokens import tokenize
from tfrec.schema import (
    FIRST_OOV_ID,
    PADDING_ID,
    CategoricalFeature,
    Feature,
    NumericFeature,
    TextFeature,
    VectorFeature,
    WeightsFeature,
)


class VocabularyEncoder(tf.Module):
    """Tokens → ids: 0 missing, then `num_oov_indices` hashed slots for unknown tokens, then the vocabulary."""

    def __init__(self, feature: CategoricalFeature, vocabulary: Path, size: int) -> None:
        super().__init__(name="vocabulary_encoder")
        self._default = feature.default
        self._num_oov = feature.num_oov_indices
        self._table: tf.lookup.StaticHashTable | None = None
        if size:  # TensorFlow cannot read an empty vocabulary file: without tokens all are unknown
            initializer = tf.lookup.TextFileInitializer(
                str(vocabulary),
                key_dtype=tf.string,
                key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
                value_dtype=tf.int64,
                value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
                vocab_size=size,
            )
            self._table = tf.lookup.StaticHashTable(initializer, default_value=-1)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """String [n] → int64 [n]."""
        values = _with_default(values, self._default)
        out_of_vocabulary = FIRST_OOV_ID + tf.strings.to_hash_bucket_fast(values, self._num_oov)
        ids = out_of_vocabulary
        if self._table is not None:
            rank = self._table.lookup(values)
            ids = tf.where(rank >= 0, rank + FIRST_OOV_ID + self._num_oov, out_of_vocabulary)
        return _padding_where_empty(values, ids)


class HashEncoder(tf.Module):
    """Tokens → 1 + hash(token) mod buckets; 0 where missing."""

    def __init__(self, feature: CategoricalFeature) -> None:
        super().__init__(name="hash_encoder")
        assert feature.hash_buckets is not None
        self._buckets = feature.hash_buckets
        self._default = feature.default

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """String [n] → int64 [n]."""
        values = _with_default(values, self._default)
        return _padding_where_empty(values, 1 + tf.strings.to_hash_bucket_fast(values, self._buckets))


class NumberEncoder(tf.Module):
    """Numbers → standardised floats; the default, or 0 (the mean), where missing (NaN)."""

    def __init__(self, feature: NumericFeature, analysis: NumericAnalysis) -> None:
        super().__init__(name="number_encoder")
        self._feature = feature
        self._mean = analysis.mean if feature.standardize else 0.0
        self._scale = analysis.standard_deviation if feature.standardize else 1.0
        # A missing value without a default is the training mean, whether or not values are standardised.
        self._missing = analysis.mean

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """float32 [n] → float32 [n]."""
        # In float64: float32's log1p differs in its last digits between the body and the tail of a batch, and a year
        # minus the mean year would lose three of its seven digits.
        exact = tf.cast(values, tf.float64)
        if self._feature.default is not None:
            exact = tf.where(tf.math.is_nan(exact), tf.constant(self._feature.default, tf.float64), exact)
        if self._feature.log:
            exact = tf.math.log1p(tf.maximum(exact, 0.0))
        exact = tf.where(tf.math.is_nan(exact), tf.constant(self._missing, tf.float64), exact)
        return tf.cast((exact - self._mean) / self._scale, tf.float32)


class BucketEncoder(tf.Module):
    """Numbers → 1 + the number of boundaries that are ≤ x; 0 where missing (NaN)."""

    def __init__(self, feature: NumericFeature, analysis: NumericAnalysis) -> None:
        super().__init__(name="bucket_encoder")
        self._default = feature.default
        self._boundaries = analysis.boundaries

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """float32 [n] → int64 [n]."""
        if self._default is not None:
            values = tf.where(tf.math.is_nan(values), tf.constant(self._default, tf.float32), values)
        boundaries = tf.constant(self._boundaries, tf.float32)
        buckets = 1 + tf.searchsorted(boundaries, values, side="right", out_type=tf.int64)
        return tf.where(tf.math.is_nan(values), tf.constant(PADDING_ID, tf.int64), buckets)


class TextEncoder(tf.Module):
    """Texts → ids of their first words, padded at the end with 0."""

    def __init__(self, max_tokens: int, words: tf.Module) -> None:
        """Take the encoder of single words."""
        super().__init__(name="text_encoder")
        self._max_tokens = max_tokens
        self._words = words

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """String [n] → int64 [n, max_tokens]."""
        words = tokenize(values, self._max_tokens)
        ids = words.with_flat_values(self._words(words.flat_values))
        return ids.to_tensor(default_value=PADDING_ID, shape=[None, self._max_tokens])


class ValueEncoder(tf.Module):
    """Numbers of vectors and weights → themselves; `missing` where there is none (NaN)."""

    def __init__(self, missing: float) -> None:
        super().__init__(name="value_encoder")
        self._missing = missing

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """float32 [n] → float32 [n]."""
        return tf.where(tf.math.is_nan(values), tf.constant(self._missing, tf.float32), values)


def encoder_of(name: str, feature: Feature, analysis: FeatureAnalysis) -> tf.Module:
    """The encoder of a feature's single values; sequences have none of their own."""
    if isinstance(feature, VectorFeature | WeightsFeature):
        return ValueEncoder(0.0 if isinstance(feature, VectorFeature) else 1.0)
    if isinstance(feature, TextFeature):
        words = feature.as_categorical
        return TextEncoder(words.max_values, encoder_of(name, words, analysis))
    if isinstance(feature, CategoricalFeature):
        if feature.hash_buckets is not None:
            return HashEncoder(feature)
        return VocabularyEncoder(feature, analysis.vocabulary_files[name], analysis.vocabulary_sizes[name])
    assert isinstance(feature, NumericFeature)
    kind = NumberEncoder if feature.buckets is None else BucketEncoder
    return kind(feature, analysis.numeric[name])


def _with_default(values: tf.Tensor, default: str) -> tf.Tensor:
    return tf.where(tf.equal(values, ""), default, values) if default else values


def _padding_where_empty(values: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.equal(values, ""), tf.constant(PADDING_ID, tf.int64), ids)
