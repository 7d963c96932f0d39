"""TFRecord files: how they are opened, and which one is damaged when reading fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfrec.errors import DataError

READ_BUFFER = 1 << 20  # bytes
# What TensorFlow raises for records that are torn, are not what they should be, or are fewer than there should be.
# Other code raises these too, so ask `find_damage` whether the files are at fault.
READ_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
)


def compression_of(files: Sequence[str]) -> str:
    """`compression_type` of the files.

    Raises:
        DataError: some are compressed, some not.

    """
    kinds = {"GZIP" if path.endswith(".gz") else "" for path in files}
    if len(kinds) > 1:
        raise DataError(f"{files[0]} and others: some files are .gz and some are not; give files of one kind")
    return kinds.pop() if kinds else ""


def record_dataset(files: Sequence[str]) -> tf.data.Dataset:
    """Serialized records of the files, in order."""
    return tf.data.TFRecordDataset(list(files), compression_type=compression_of(files), buffer_size=READ_BUFFER)


def count_rows(path: str, parse: Callable[[tf.Tensor], dict[str, tf.Tensor]], records_at_once: int) -> int:
    """Read one file to its end.

    Raises:
        DataError: the file is absent, torn, or `parse` refuses its records.

    """
    rows = 0
    try:
        for columns in record_dataset([path]).batch(records_at_once).map(parse):
            rows += int(tf.shape(next(iter(columns.values())))[0])
    except READ_ERRORS as error:
        reason = re.sub(r"\{\{.*?\}\} ?", "", error.message.splitlines()[0])  # without the names of graph nodes
        raise DataError(
            f"{path}: records cannot be read ({reason}); copy the dataset again or rerun the transforms"
        ) from None
    return rows


def find_damage(
    files: Sequence[tuple[str, int]], parse: Callable[[tf.Tensor], dict[str, tf.Tensor]], records_at_once: int
) -> DataError | None:
    """What is wrong with the first damaged one of the files (path, rows that it must have); None if they are whole.

    Reads every file up to the damage: to be asked after a failure only.
    """
    for path, rows in files:
        try:
            found = count_rows(path, parse, records_at_once)
        except DataError as error:
            return error
        if found != rows:
            return DataError(
                f"{path}: holds {found} rows, the manifest says {rows}; copy the dataset again or rerun the transforms"
            )
    return None
