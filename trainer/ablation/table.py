"""What was lost with each ablation: figures, a table and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from tfrec.certainty import holm
from tfrec.console import whole_table
from tfrec.errors import ConfigError
from trainer.ablation.changes import Ablation
from trainer.report.comparison import Contender
from trainer.report.estimates import Difference, Estimate, difference
from trainer.report.names import interval, metric_name, number, p_value, signed
from trainer.report.per_user import is_per_user
from trainer.report.results import MAIN_SET, JobResults


@dataclass(frozen=True)
class Row:
    """A model with all that it reads, or without something.

    Attributes:
        ablation: what was taken away; None for the model as it is.
        runs: seeds.
        found: mean over seeds of the metric on test, with an interval over users.
        worth: by how much the model as it is is better, paired by user; None for itself, and for fewer than two users.
        p_holm: of it, corrected for the number of ablations.

    """

    ablation: Ablation | None
    runs: int
    found: Estimate
    worth: Difference | None = None
    p_holm: float = math.nan

    @property
    def name(self) -> str:
        return "as it is" if self.ablation is None else f"without {self.ablation.what}"


def rows(
    whole: Sequence[JobResults], parts: Mapping[Ablation, Sequence[JobResults]], metric: str | None
) -> tuple[str, list[Row]]:
    """The metric, and a row for the model as it is and one for each ablation.

    Raises:
        ConfigError: single users have no such metric.

    """
    metric = metric or whole[0].headline
    if not is_per_user(metric, whole[0].task) or whole[0].value(MAIN_SET, metric) is None:
        raise ConfigError(
            f"--metric: single users of {whole[0].job.path} have no {metric!r}, and tests compare user by user; name "
            "one such as ndcg_at_10 (retrieval) or log_loss (ranking)"
        )
    full = Contender("as it is", tuple(whole))
    mine = full.per_user(metric)
    found = [Row(None, len(whole), full.estimate(metric))]
    for ablation, runs in parts.items():
        poorer = Contender(ablation.what, tuple(runs))
        worth = difference(mine, poorer.per_user(metric), metric)
        found.append(Row(ablation, len(runs), poorer.estimate(metric), worth))
    p_values = holm(np.array([row.worth.p_value for row in found if row.worth is not None]))
    corrected = iter(p_values.tolist())
    return metric, [
        row if row.worth is None else Row(row.ablation, row.runs, row.found, row.worth, next(corrected))
        for row in found
    ]


def as_table(metric: str, found: Sequence[Row]) -> Table:
    """For people."""
    name = metric_name(metric)
    table = whole_table("model", "taken away", "seeds", f"{name} (95 %)", "what it is worth (95 %)", "p", "p, Holm")
    for row in found:
        cells = [row.name, ", ".join(row.ablation.columns) if row.ablation else "", str(row.runs)]
        cells.append(f"{number(row.found.mean)} {interval(row.found.low, row.found.high)}")
        if row.worth is not None:
            worth = f"{signed(row.worth.mean)} {interval(row.worth.low, row.worth.high)}"
            cells += [worth, p_value(row.worth.p_value), p_value(row.p_holm)]
        table.add_row(*cells)
    return table


def as_json(metric: str, found: Sequence[Row]) -> dict[str, Any]:
    """The figures, NaN as null."""
    return {"metric": f"{MAIN_SET}/{metric}", "rows": [_row(row) for row in found]}


def _row(row: Row) -> dict[str, Any]:
    said: dict[str, Any] = {
        "name": row.name,
        "taken_away": list(row.ablation.columns) if row.ablation else [],
        "seeds": row.runs,
        "mean": _figure(row.found.mean),
        "low": _figure(row.found.low),
        "high": _figure(row.found.high),
    }
    if row.worth is not None:
        said["worth"] = {
            "mean": _figure(row.worth.mean),
            "low": _figure(row.worth.low),
            "high": _figure(row.worth.high),
            "p_value": row.worth.p_value,
            "p_holm": row.p_holm,
            "users": row.worth.users,
        }
    return said


def _figure(value: float) -> float | None:
    return value if math.isfinite(value) else None
