"""Rows in = rows accepted + rejected; and when too many are rejected to go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apache_beam.io.filesystems import FileSystems

from tfrec.dataset import directory
from tfrec.errors import DataError
from transforms import storage
from transforms.dataset_config import DatasetConfig, TableName
from transforms.read.files import InputTable


def check_rows(rows: dict[str, Any], config: DatasetConfig, tables: dict[TableName, InputTable], output: str) -> None:
    """Refuse a log of which too little is usable.

    Args:
        rows: table → `rows`, `accepted`, `rejected`, as the first pipeline counted.
        config: holds the limit, `max_rejected_share`.
        tables: that were asked for.
        output: where the run writes; its rejected rows are quoted.

    Raises:
        DataError: a table has no rows, no usable row, or more rejected ones than the limit.

    """
    for name, counts in rows.items():
        if counts["rows"] == 0 or counts["accepted"] == 0:
            raise DataError(
                f"{name}: none of {counts['rows']} rows is usable{_first_rejected(name, output)}; check the format"
            )
        share = counts["rejected"] / counts["rows"]
        if share > config.max_rejected_share:
            raise DataError(
                f"{name}: {counts['rejected']} of {counts['rows']} rows ({share:.1%}) were rejected, above "
                f"max_rejected_share {config.max_rejected_share:.1%}{_first_rejected(name, output)}; "
                "see the .rejected directory beside the output"
            )
    for name in tables:
        if name not in rows:
            raise DataError(f"{name}: {', '.join(tables[name].paths)}: no rows; there is nothing to read")


def _first_rejected(name: str, output: str) -> str:
    path = storage.join(output, directory.REJECTED, f"{name}.jsonl")
    if not FileSystems.exists(path):
        return ""
    first = json.loads(storage.read_bytes(path).partition(b"\n")[0])
    return f"; first: {Path(first['file']).name}:{first['line']}: {first['reason']}"
