"""All that is looked at of a trained ranking model, for the page and as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays
from tfrec.models.base import RankingModel
from tfrec.models.learning import GradientModel
from tfrec.models.towers.fields import FieldRanking
from tfrec.schema import LABEL, USER_INDEX, WEIGHT
from trainer.data import JobData
from trainer.evaluation.scores import predict, ranking_scorer
from trainer.report.learnt import pairs
from trainer.report.learnt.crosses import Combination, strongest_combinations
from trainer.report.learnt.neighbours import NeighbourTable, neighbour_tables
from trainer.report.learnt.pairs import Pair, learnt_pairs
from trainer.report.learnt.permutation import (
    SECONDS,
    SEED,
    Importances,
    of_roles,
    permutation_importance,
    shuffled_together,
)
from trainer.report.results import MAIN_SET
from trainer.report.tables import Scale


@dataclass(frozen=True)
class Learnt:
    """Each part is empty where the model or the dataset does not have it."""

    importances: Importances | None
    pairs: tuple[Pair, ...]  # the strongest
    num_pairs: int
    pair_rows: int
    combinations: tuple[Combination, ...]
    neighbours: tuple[NeighbourTable, ...]

    @property
    def seconds(self) -> float:
        """After which no further permutation begins."""
        return SECONDS

    @property
    def scale(self) -> Scale:
        """Of the drawn importances, with 0."""
        found = self.importances.fields if self.importances is not None else ()
        scale = Scale.around(one.estimate for one in found)
        return Scale(min(scale.low, 0.0), max(scale.high, 0.0))

    @property
    def crosses(self) -> dict[str, list[Combination]]:
        """Name of a declared cross → its strongest combinations."""
        found: dict[str, list[Combination]] = {}
        for one in self.combinations:
            found.setdefault(one.cross, []).append(one)
        return found


def what_was_learnt(model: RankingModel, data: JobData, metric: str) -> Learnt | None:
    """All of it, from the test split; None where that is empty. The same job gives the same.

    Args:
        model: trained.
        data: of its job.
        metric: whose change is a field's importance: `log_loss`, `rmse`, `mae`, `auc` or `spearman`.

    """
    test = data.split(MAIN_SET)
    if not len(test[LABEL]):
        return None
    records = {name: test[name] for name in (*model.required_features, LABEL, USER_INDEX)}
    weights = model.metric_weights(test)
    records |= {} if weights is None else {WEIGHT: weights}
    found = learnt_pairs(model, _some_rows(model, records)) if isinstance(model, FieldRanking) else []
    return Learnt(
        _importances(model, records, metric),
        tuple(found[: pairs.SHOWN]),
        len(found),
        min(pairs.ROWS, len(test[LABEL])),
        tuple(strongest_combinations(model, data, records)) if isinstance(model, FieldRanking) else (),
        tuple(neighbour_tables(model, data)) if isinstance(model, GradientModel) else (),
    )


def _importances(model: RankingModel, records: Arrays, metric: str) -> Importances | None:
    schema = model.inputs.schema
    fields = [name for name in schema.features if name in model.required_features]
    scorer = ranking_scorer(model)
    return permutation_importance(
        lambda rows: predict(model, rows, scorer),
        records,
        shuffled_together(schema, fields),
        metric,
        of_group=of_roles(schema, fields),
    )


def _some_rows(model: RankingModel, records: Arrays) -> dict[str, tf.Tensor]:
    """Of the split, as many as `pairs.ROWS`, drawn: the first ones are all of the same users."""
    size = len(records[LABEL])
    rows = np.random.default_rng(SEED).permutation(size)[: pairs.ROWS]
    return {name: tf.constant(records[name][rows]) for name in model.required_features}


def write_learnt(path: Path, learnt: Learnt) -> None:
    """As JSON, for scripts: importances, the shown pairs and combinations; NaN as null."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(as_json(learnt), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def as_json(learnt: Learnt) -> dict[str, Any]:
    found = learnt.importances
    content: dict[str, Any] = {"set": MAIN_SET}
    if found is not None:
        content |= {
            "metric": found.metric,
            "rows": found.rows,
            "repeats": found.repeats,
            "seed": SEED,
            "baseline": found.baseline,
            "importance": {
                one.name: {
                    "fields": list(one.fields),
                    "change": one.estimate.mean,
                    "low": _figure(one.estimate.low),
                    "high": _figure(one.estimate.high),
                    "std_over_repeats": _figure(one.spread),
                }
                for one in found.fields
            },
        }
    content["pairs"] = [
        {"fields": list(one.fields), "mean_absolute": one.strength, "std": one.spread} for one in learnt.pairs
    ]
    content["crosses"] = [
        {"cross": one.cross, "values": list(one.values), "weight": one.weight, "events": one.events}
        for one in learnt.combinations
    ]
    return content


def _figure(value: float) -> float | None:
    return value if math.isfinite(value) else None
