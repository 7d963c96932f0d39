"""Many rows in one tf.train.Example: a record is then parsed once for a thousand rows, which is many times as fast."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tfrec.codec.wire import Ints
from tfrec.errors import SchemaError

ROW_LENGTHS = "/row_lengths"  # behind the name of a list column: how many values each row has


def pack_rows(table: pa.Table, rows_per_record: int) -> pa.Table:
    """Put up to `rows_per_record` rows into one; the last has what is left.

    Args:
        table: the rows.
        rows_per_record: 1 leaves the table as it is.

    Returns:
        A table [ceil(rows / rows_per_record)]. A column of single values becomes a list of the values of its rows. A
        list column `x` becomes the values of all its rows, and an int64 list `x/row_lengths` says how many are whose;
        a null list has none.

    Raises:
        SchemaError: a column of single values has a null: the rows behind it would move up.

    """
    if rows_per_record < 1:
        raise ValueError(f"rows_per_record must be at least 1, got {rows_per_record}")
    if rows_per_record == 1:
        return table
    rows = table.num_rows
    splits = np.append(np.arange(0, rows, rows_per_record), rows)
    columns: dict[str, pa.Array] = {}
    for name in table.column_names:
        array = table.column(name).combine_chunks()
        if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
            ends = np.concatenate([[0], np.cumsum(lengths)])
            columns[name] = _lists(ends[splits], array.flatten())  # flatten leaves the values of null lists out
            columns[name + ROW_LENGTHS] = _lists(splits, pa.array(lengths))
        elif array.null_count:
            raise SchemaError(
                f"column {name!r} has {array.null_count} nulls; fill them, or write one row per record "
                f"(rows_per_record: 1)"
            )
        else:
            columns[name] = _lists(splits, array)
    return pa.table(columns)


def _lists(splits: Ints, values: pa.Array) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array(splits, pa.int64()), values)
