"""Columns of tokens, which repeat: what is asked of a token is asked once for each distinct one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa


def tokens_of(column: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    """Distinct tokens and their places; the dictionary may have some that no row uses."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.dictionary_encode()


def plain_tokens(table: pa.Table) -> pa.Table:
    """The table with strings where it has dictionaries."""
    kinds = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in table.schema]
    return table.cast(pa.schema(zip(table.column_names, kinds, strict=True)))


def codes_of(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Int [rows]: equal tokens have equal codes."""
    return tokens_of(column).indices.to_numpy()


def for_tokens(column: pa.ChunkedArray | pa.Array, function: Callable[[pa.Array], np.ndarray]) -> np.ndarray:
    """[rows]: `function` of the distinct tokens, each at its rows."""
    tokens = tokens_of(column)
    return function(tokens.dictionary)[tokens.indices.to_numpy()]
