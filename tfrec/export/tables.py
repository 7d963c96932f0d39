"""What the served graph looks up: users and items by id, their encoded features, what users have seen."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Arrays, Tensors
from tfrec.export.attribute_filters import AttributeFilter
from tfrec.export.signature import broadcast_batch, is_given
from tfrec.feature_transform import FeatureTransform, missing_value, raw_specs
from tfrec.models.inputs import Catalogue
from tfrec.schema import Schema, WeightsFeature


@dataclass(frozen=True)
class ExportTables:
    """The data that an export takes along.

    Attributes:
        user_ids: raw ids by user index. object (bytes) [num_users]
        user_features: encoded features of each user, with the latest history.
        seen: all that each user took, in every split: production recommends what comes next.
        catalogue: all items.
        filters: by attributes of items, which requests may use.
        raw_items: the features that the filters read, as `read_raw` returns them, by item index.

    """

    user_ids: np.ndarray
    user_features: Arrays
    seen: Interactions
    catalogue: Catalogue
    filters: tuple[AttributeFilter, ...] = ()
    raw_items: Arrays = field(default_factory=dict)


class FeatureTable(tf.Module):
    """Encoded features by row; the row behind the last holds what the transform makes of missing values."""

    def __init__(self, features: Arrays, schema: Schema, transform: FeatureTransform) -> None:
        super().__init__(name="feature_table")
        self.schema = schema
        specs = raw_specs({name: schema.features[name] for name in features})
        empty = {
            name: tf.fill([1] * spec.shape.rank, tf.constant(missing_value(spec.dtype), spec.dtype))
            for name, spec in specs.items()
        }
        unknown = transform(empty)
        self._columns = {
            name: tf.Variable(np.concatenate([values, unknown[name].numpy()]), trainable=False, name=f"table/{name}")
            for name, values in features.items()
        }

    def __call__(self, rows: tf.Tensor) -> Tensors:
        """int64 [n] → feature → [n] or [n, width]."""
        return {name: tf.gather(column, rows) for name, column in self._columns.items()}


def request_features(
    raw: Tensors, id_name: str, rows: tf.Tensor, table: FeatureTable, transform: FeatureTransform
) -> Tensors:
    """Encoded features of a request: what it gives, else what the table has for the id.

    Sequences that stand side by side are those of the request as soon as it gives one of them: the table's are of
    other events. Labels that then are not given are NaN, because 0 may be one. Likewise weights are those of the
    request as soon as it gives the values that they weigh.

    Args:
        raw: raw features; all but the id may have a first dimension of 1, or stand for "not given".
        id_name: the feature that identifies the user or item; always from the request.
        rows: row of each id in the table. int64 [batch]
        table: encoded features by row.
        transform: the dataset's feature transform.

    """
    batch = tf.shape(rows)[0]
    encoded = transform(raw)
    stored, schema = table(rows), table.schema
    is_there = {name: broadcast_batch(is_given(raw[name]), batch) for name in encoded}
    result = {}
    for name, values in encoded.items():
        given = broadcast_batch(values, batch)
        if name == id_name or name not in stored:
            result[name] = given
            continue
        column = [-1] + [1] * (given.shape.rank - 1)
        if schema.is_label_sequence(name):
            given = tf.where(tf.reshape(is_there[name], column), given, np.nan)
        feature = schema.features[name]
        deciding = (feature.of,) if isinstance(feature, WeightsFeature) else schema.side_by_side(name)
        use = tf.reduce_any([is_there[other] for other in deciding if other in is_there], axis=0)
        result[name] = tf.where(tf.reshape(use, column), given, stored[name])
    return result
