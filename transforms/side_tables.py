"""Users and items tables: one row per id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from transforms import layout, storage
from transforms.accounting import summary_of
from transforms.dataset_config import TableName
from transforms.parse import REJECTED, SUMMARY
from transforms.read.rejected import rejected_of
from transforms.read.typed import SOURCE
from transforms.steps.tokens import codes_of


class DropRepeated(beam.DoFn):
    """All rows of a users or items table → one Arrow file; the first row of an id is kept, the rest rejected."""

    def __init__(self, name: TableName, key: str, paths: tuple[str, ...], output: str) -> None:
        self._name = name
        self._key = key
        self._paths = paths
        self._output = output

    def process(self, element: tuple[None, Iterable[bytes]]) -> Iterator[Any]:
        tables = [storage.table_of(content) for content in element[1]]
        rows = pa.concat_tables(tables).sort_by(SOURCE).combine_chunks()
        keys = codes_of(rows.column(self._key))
        _, first = np.unique(keys, return_index=True)
        is_first = np.zeros(rows.num_rows, dtype=bool)
        is_first[first] = True
        storage.write_table(layout.side_table(self._output, self._name), rows.filter(pa.array(is_first)))
        repeated = rows.filter(pa.array(~is_first))
        sources, keys = repeated.column(SOURCE).to_pylist(), repeated.column(self._key).to_pylist()
        rejected = rejected_of(self._name, self._paths, sources, "repeated id", keys)
        if rejected:
            yield beam.pvalue.TaggedOutput(REJECTED, rejected)
            yield beam.pvalue.TaggedOutput(SUMMARY, summary_of(self._name, -len(rejected), rejected, {}))
