"""Cells that no CSV could hold, and that would not survive as a line of a vocabulary."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from transforms.read.wanted import Wanted

_CONTROL = r"[\x00\r\n]"


def control_characters(rows: pa.Table, wanted: Wanted) -> dict[int, str]:
    """Row → reason, of the rows with an end of line or a null character in a cell that is not mere text."""
    found: dict[int, str] = {}
    for column in wanted.columns:
        if column in wanted.texts:
            continue
        values = rows.column(column).combine_chunks()
        parents = None
        if pa.types.is_list(values.type):
            parents = pc.list_parent_indices(values)
            values = values.flatten()
        if pa.types.is_string(values.type) and _may_hold(values):
            bad = pc.match_substring_regex(values, _CONTROL).fill_null(False)
            at = pc.indices_nonzero(bad) if parents is None else parents.filter(bad)
            for row in at.to_pylist():
                found.setdefault(row, f"{column} holds a control character")
    return found


def _may_hold(values: pa.Array) -> bool:
    """A look at the bytes, which costs little."""
    data = values.buffers()[2]
    content = b"" if data is None else data.to_pybytes()
    return any(sign in content for sign in (b"\n", b"\r", b"\x00"))
