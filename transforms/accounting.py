"""Rows in = rows accepted + rejected; and when too many are rejected to go on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from apache_beam.io.filesystems import FileSystems

from tfrec.dataset import directory
from tfrec.errors import DataError
from tfrec.schema import Schema
from transforms import storage
from transforms.dataset_config import DatasetConfig, TableName
from transforms.filters import DAY_MS
from transforms.read.files import InputTable
from transforms.read.rejected import RejectedRow

_EARLIEST_LOG_MS = 365 * DAY_MS


def summary_of(
    table: str, accepted: int, unusable: Sequence[RejectedRow], left_out: Mapping[str, int]
) -> dict[str, Any]:
    """What became of some rows of a table.

    Args:
        table: events, users or items.
        accepted: rows that went on; negative where rows that had gone on are taken back.
        unusable: rejected rows.
        left_out: reason → sound rows that the config does not want.

    """
    reasons = Counter(_kind_of(row.reason) for row in unusable) + Counter({k: int(v) for k, v in left_out.items()})
    rejected = reasons.total()
    return {
        "table": table,
        "rows": accepted + rejected,
        "accepted": accepted,
        "unusable": len(unusable),
        "reasons": dict(reasons),
    }


def _kind_of(reason: str) -> str:
    """The reason without the row's own value, for counting."""
    return reason.split(": ")[0]


def merge_summaries(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Per table: rows in, accepted, rejected, how many of these were unusable, and rejected by reason."""
    merged: dict[str, Any] = {}
    for part in parts:
        table = merged.setdefault(
            part["table"], {"rows": 0, "accepted": 0, "rejected": 0, "unusable": 0, "reasons": {}}
        )
        for name in ("rows", "accepted", "unusable"):
            table[name] += part[name]
        for reason, count in part["reasons"].items():
            table["rejected"] += count
            table["reasons"][reason] = table["reasons"].get(reason, 0) + count
    for table in merged.values():
        table["reasons"] = dict(sorted(table["reasons"].items()))
        if table["rows"] != table["accepted"] + table["rejected"]:
            raise AssertionError(
                f"rows in {table['rows']} ≠ accepted {table['accepted']} + rejected {table['rejected']}"
            )
    return dict(sorted(merged.items()))


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
                f"{name}: none of {counts['rows']} rows is usable{_first_rejected(name, output)}{_most(counts)}; "
                "check the format and the filters"
            )
        share = counts["unusable"] / counts["rows"]
        if share > config.max_rejected_share:
            raise DataError(
                f"{name}: {counts['unusable']} of {counts['rows']} rows ({share:.1%}) cannot be used, above "
                f"max_rejected_share {config.max_rejected_share:.1%}{_first_rejected(name, output)}; "
                "see the .rejected directory beside the output"
            )
    for name in tables:
        if name not in rows:
            raise DataError(f"{name}: {', '.join(tables[name].paths)}: no rows; there is nothing to read")


def check_labels(splits: dict[str, Any], schema: Schema) -> None:
    """Refuse labels that are all 0 because no token is one of `label.values`.

    Args:
        splits: `rows` and `label_mean` of each split.
        schema: with the label.

    Raises:
        DataError: no event has label 1.

    """
    label = schema.label
    if label is None or label.values is None or any(found.get("label_mean", 0) > 0 for found in splits.values()):
        return
    raise DataError(
        f"events: {label.column} is none of label.values {list(label.values)} in any row, so all labels are 0; "
        "write the values as they stand in the log, blanks and capitals too"
    )


def add_left_out(rows: dict[str, Any], reason: str, count: int) -> dict[str, Any]:
    """The counts of `merge_summaries` after `count` accepted events were left out for `reason`."""
    events = rows["events"]
    changed = events | {
        "accepted": events["accepted"] - count,
        "rejected": events["rejected"] + count,
        "reasons": dict(sorted((events["reasons"] | ({reason: count} if count else {})).items())),
    }
    return rows | {"events": changed}


def check_times(seen: dict[str, Any], schema: Schema) -> None:
    """Seconds read as a finer unit all lie in January 1970: no log does.

    Args:
        seen: `last_time_ms` of all events.
        schema: with the unit.

    Raises:
        DataError: the unit cannot be right.

    """
    stamp = schema.timestamp
    if stamp is not None and stamp.unit in ("ms", "us", "ns") and 0 <= seen["last_time_ms"] < _EARLIEST_LOG_MS:
        raise DataError(
            f"events: the last one lies {seen['last_time_ms'] / DAY_MS:.1f} days after 1 January 1970; "
            f"{stamp.column} is not in {stamp.unit}: set timestamp.unit to a coarser one"
        )


def _most(counts: dict[str, Any]) -> str:
    """The commonest reason, where no row tells its own."""
    if counts["unusable"] or not counts["reasons"]:
        return ""
    return f"; {max(counts['reasons'], key=counts['reasons'].__getitem__)}"


def _first_rejected(name: str, output: str) -> str:
    path = storage.join(output, directory.REJECTED, f"{name}.jsonl")
    if not FileSystems.exists(path):
        return ""
    first = json.loads(storage.read_bytes(path).partition(b"\n")[0])
    return f"; first: {Path(first['file']).name}:{first['line']}: {first['reason']}"
