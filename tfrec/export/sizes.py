"""What a version takes on disk, and which of its variables take most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

LARGEST = 5


def size_report(module: tf.Module, directory: Path) -> dict[str, Any]:
    """Bytes of a written SavedModel by part, and its largest variables."""
    by_part: dict[str, int] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            part = path.relative_to(directory).parts[0]
            by_part[part] = by_part.get(part, 0) + path.stat().st_size
    variables = sorted(module.variables, key=_bytes, reverse=True)[:LARGEST]
    return {
        "bytes": sum(by_part.values()),
        "by_part": by_part,
        "largest_variables": [
            {"name": one.name.partition(":")[0], "shape": list(one.shape), "bytes": _bytes(one)} for one in variables
        ],
    }


def _bytes(variable: tf.Variable) -> int:
    """Of numbers; of strings what their pointers take, as their lengths are in the file alone."""
    return int(variable.shape.num_elements() or 0) * max(1, variable.dtype.size)
