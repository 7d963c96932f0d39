"""Raw features of users and items, which a dataset keeps beside the encoded ones."""

from __future__ import annotations

import tensorflow as tf

from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.files import READ_ERRORS, find_damage, record_dataset
from tfrec.dataset.records import PARSE_BATCH, Arrays
from tfrec.feature_transform.missing import missing_value
from tfrec.feature_transform.transform import raw_specs
from tfrec.schema import Feature, SequenceFeature


def raw_features(dataset: DatasetDirectory, part: str) -> dict[str, Feature]:
    """Features of users or items that have a raw value: all but sequences, which are made of events."""
    of_role = dataset.schema.of_role("user" if part == "users" else "item")
    return {name: feature for name, feature in of_role.items() if not isinstance(feature, SequenceFeature)}


def read_raw(dataset: DatasetDirectory, part: str, names: tuple[str, ...] | None = None) -> Arrays:
    """Read raw features as requests hold them, by row of users/ or items/.

    Args:
        dataset: where from.
        part: "users" or "items".
        names: of `raw_features`; None for all.

    Returns:
        feature → string (bytes objects) or float32 [rows], or [rows, most values of one] padded as `raw_specs` says.

    Raises:
        DataError: a file is torn.

    """
    features = raw_features(dataset, part)
    specs = raw_specs({name: features[name] for name in (features if names is None else names)})
    if not specs:
        return {}
    parsing = {
        RAW_PREFIX + name: tf.io.RaggedFeature(spec.dtype, row_splits_dtype=tf.int64) for name, spec in specs.items()
    }

    @tf.autograph.experimental.do_not_convert  # nothing to translate, which takes a while
    def parse(records: tf.Tensor) -> dict[str, tf.RaggedTensor]:
        parsed: dict[str, tf.RaggedTensor] = tf.io.parse_example(records, parsing)
        return parsed

    files = dataset.files(part)
    parts = [parse(tf.constant([], tf.string))]  # so that a part without rows has its columns too
    try:
        parts += list(record_dataset(files).batch(PARSE_BATCH).map(parse))
    except READ_ERRORS as error:
        counted = zip(files, dataset.rows_by_file(part), strict=True)
        raise find_damage(list(counted), parse, PARSE_BATCH) or error from None
    found: Arrays = {}
    for name, spec in specs.items():
        values = tf.concat([one[RAW_PREFIX + name] for one in parts], axis=0)
        absent = tf.constant(missing_value(spec.dtype), spec.dtype)
        if spec.shape.rank == 2:
            found[name] = values.to_tensor(absent).numpy()
        else:
            found[name] = values[:, :1].to_tensor(absent, shape=[None, 1]).numpy()[:, 0]
    return found
