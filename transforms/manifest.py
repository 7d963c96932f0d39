"""manifest.json: what went into a dataset, what came out, and a fingerprint over all of it."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf

import tfrec
from tfrec.schema import SPLITS
from transforms.base.load import BaseDataset
from transforms.dataset_config import DatasetConfig, TableName
from transforms.read.files import InputTable


def make_manifest(
    config: DatasetConfig,
    tables: dict[TableName, InputTable],
    rows: dict[str, Any],
    files: list[dict[str, Any]],
    base: BaseDataset | None = None,
) -> dict[str, Any]:
    """The content of manifest.json.

    Args:
        config: of the run.
        tables: the input.
        rows: table → counts, rows = accepted + rejected.
        files: one entry per written file: `part`, `name`, `records` (rows), `bytes`, `sha256`.
        base: the dataset that this one goes on from.

    """
    schema = config.schema_of()
    parts: dict[str, list[dict[str, Any]]] = {part: [] for part in (*SPLITS, "users", "items")}
    digest = hashlib.sha256(schema.fingerprint.encode())
    for entry in files:
        parts[entry["part"]].append({key: entry[key] for key in ("name", "records", "bytes", "sha256")})
        digest.update(entry["sha256"].encode())
    return {
        "name": config.name,
        "fingerprint": digest.hexdigest()[:16],
        "schema_fingerprint": schema.fingerprint,
        "input": {
            name: {"files": [Path(path).name for path in table.paths], "bytes": table.size_bytes}
            for name, table in tables.items()
        },
        "rows": rows,
        "rejected": sum(counts["rejected"] for counts in rows.values()),
        "rows_per_record": config.rows_per_record,
        "base": None if base is None else {"name": Path(base.name).name, "fingerprint": base.fingerprint},
        "files": parts,
        "versions": {
            "tfrec": tfrec.__version__,
            "apache-beam": beam.__version__,
            "tensorflow": tf.__version__,
            "pyarrow": pa.__version__,
            "python": platform.python_version(),
        },
    }
