"""What a version goes through before a server may see it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import tensorflow as tf

from tfrec.errors import ArtifactError
from tfrec.export.tables import ExportTables
from tfrec.index import IndexReport
from tfrec.schema import Schema
from trainer.release.fresh_process import require_same_in_fresh_process
from trainer.release.warm_up import answers, warm_up_requests, write_warm_up

# all: what quick does, and the model in a process of its own. quick: warm-up requests are answered, and raw rows get
# the scores of their records. none: warm-up requests are recorded, but nobody has asked them.
Checks = Literal["all", "quick", "none"]
CHECKS: tuple[Checks, ...] = get_args(Checks)


def bearable(checks: Checks, indexes: Iterable[IndexReport]) -> Checks:
    """How much of `checks` a version with these indexes bears; on stderr, what they need of a server."""
    for report in indexes:
        if report.needs is not None:
            print(f"--index {report.kind} needs {report.needs}", file=sys.stderr)
            if checks == "all":  # a process with TensorFlow alone has not what the index needs
                checks = "quick"
    return checks


def finisher(
    checks: Checks,
    model_name: str,
    signatures: dict[str, Any],
    tables: ExportTables,
    schema: Schema,
    parity: Callable[[Any], int] | None,
) -> Callable[[Path], dict[str, Any]]:
    """A function that completes a written SavedModel with its warm-up requests, and refuses one that fails.

    Args:
        checks: how much is checked.
        model_name: under which it will be served.
        signatures: of the SavedModel.
        tables: of its users and items.
        schema: of their dataset.
        parity: compares the loaded model with what it was made of, and returns the number of rows; None for a model
            that has no records to compare with.

    """

    def finish(directory: Path) -> dict[str, Any]:
        requests = warm_up_requests(signatures, tables, schema)
        write_warm_up(directory, model_name, requests)
        if checks == "none":
            return {"checks": {"kind": checks}}
        loaded = tf.saved_model.load(str(directory))
        said = [answers(loaded, request) for request in requests]
        for request, answer in zip(requests, said, strict=True):
            for name, value in answer.items():
                if value.dtype.kind == "f" and np.isnan(value).any():
                    raise ArtifactError(f"{directory.parent}: {request.signature} answers NaN in {name!r}; train again")
        if checks == "all":  # before anything else is asked: a model that draws begins with the same draws there
            require_same_in_fresh_process(directory, requests, said)
        compared = 0 if parity is None else parity(loaded)
        facts = {"kind": checks, "warm_up_requests": len(requests), "parity_rows": compared}
        return {"checks": {**facts, "fresh_process": checks == "all"}}

    return finish
