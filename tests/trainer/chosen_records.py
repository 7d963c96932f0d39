"""Record files made from those of a dataset, with a change to every row: what --train-files names in tests."""

import tensorflow as tf

from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import record_dataset


def rewrite(dataset, part, path, change=lambda row, example: None, rows=None):
    """Write the first rows of a split to `path` after `change(number, tf.train.Example)`; return the path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = record_dataset(DatasetDirectory(dataset).files(part))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, record in enumerate(records.take(rows or -1).as_numpy_iterator()):
            example = tf.train.Example.FromString(record)
            change(number, example)
            writer.write(example.SerializeToString())
    return str(path)


def dropping(name):
    """A change: the rows lose a column."""
    return lambda row, example: example.features.feature.pop(name)


def setting(name, value, row):
    """A change: one row gets another value in a column of single values."""

    def change(number, example):
        if number == row:
            feature = example.features.feature[name]
            getattr(feature, feature.WhichOneof("kind")).value[0] = value

    return change
