"""The feature transform: built once from schema and analysis, saved in the dataset, used everywhere.

The SavedModel has one signature per feature, `values [n] → encoded [n]`. `FeatureTransform` adds the shapes.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from tfrec.errors import ArtifactError
from tfrec.feature_transform.analysis import FeatureAnalysis
from tfrec.feature_transform.encoders import encoder_of
from tfrec.schema import CategoricalFeature, Feature, NumericFeature, Schema, SequenceFeature


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
    @tf.function(input_signature=[tf.TensorSpec([None], dtype, name="values")])
    def encode(values: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"encoded": encoder(values)}

    return encode


def raw_specs(features: dict[str, Feature]) -> dict[str, tf.TensorSpec]:
    """The raw inputs: string or float32 [batch]; [batch, n] for several values, padded with "" anywhere."""
    return {
        name: tf.TensorSpec([None, None] if is_list(feature) else [None], _raw_dtype(feature), name=name)
        for name, feature in features.items()
    }


def is_list(feature: Feature) -> bool:
    """Whether a row holds several values of this feature."""
    return isinstance(feature, SequenceFeature) or (isinstance(feature, CategoricalFeature) and feature.multivalued)


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
        """Encode flat raw values [n] of one feature; a sequence's values are item ids."""
        if isinstance(self._schema.features[name], SequenceFeature):
            name = self._schema.item_id
        return self._saved.signatures[name](values=values)["encoded"]

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Encode a batch of any of the schema's features.

        Args:
            raw: feature → tensor as `raw_specs` says: string or float32 [batch], or string [batch, n].

        Returns:
            feature → int64 or float32 [batch]; int64 [batch, max_values] or [batch, length] where a row has several
            values, padded at the end with 0. Text features are left out. Of a history the last `length` items are
            kept, of several values the first `max_values`.

        """
        return {
            name: self._encode_list(name, values)
            if is_list(self._schema.features[name])
            else self.encode_values(name, values)
            for name, values in raw.items()
            if name in self._schema.encoded
        }

    def _encode_list(self, name: str, values: tf.Tensor) -> tf.Tensor:
        feature = self._schema.features[name]
        kept = tf.ragged.boolean_mask(values, tf.not_equal(values, ""))
        if isinstance(feature, SequenceFeature):
            width = feature.length
            kept = kept[:, -width:]
        else:
            assert isinstance(feature, CategoricalFeature)
            width = feature.max_values
            kept = kept[:, :width]
        encoded = kept.with_flat_values(self.encode_values(name, kept.flat_values))
        return encoded.to_tensor(default_value=0, shape=[None, width])


def _raw_dtype(feature: Feature) -> tf.DType:
    return tf.float32 if isinstance(feature, NumericFeature) else tf.string
