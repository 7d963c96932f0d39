"""Which combinations of values of the declared crosses weigh most in the wide part of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays
from tfrec.models.towers.fields import FieldRanking
from trainer.data import JobData
from trainer.report.learnt.spelling import Spelling

SHOWN = 10  # of each cross
MOST_COMBINATIONS = 20_000  # of each cross, the most frequent ones


@dataclass(frozen=True)
class Combination:
    """Values of the parts of a cross.

    Attributes:
        cross: its name.
        values: of each part, spelt out.
        weight: what the combination adds to the logit.
        events: of training that have it.
        total: |weight| × events: how much of what the model says is due to it.

    """

    cross: str
    values: tuple[str, ...]
    weight: float
    events: int

    @property
    def total(self) -> float:
        return abs(self.weight) * self.events


def strongest_combinations(model: FieldRanking, data: JobData, records: Arrays) -> list[Combination]:
    """The strongest of every declared cross that has weights, cross by cross; hashed together, they weigh the same.

    Args:
        model: trained.
        data: of its job: combinations are counted in the training split.
        records: encoded rows, at least one, with all that the model reads.

    """
    found = []
    for name, cross in data.schema.crosses.items():
        if model.embedding.first_order and name in model.embedding.plan.terms:
            values, counts = combinations(data.columns("train", cross.of), cross.of)
            weights = combination_weights(model, records, cross.of, values, name)
            spell = [Spelling(data.dataset, part) for part in cross.of]
            order = np.argsort(-np.abs(weights) * counts, kind="stable")[:SHOWN]
            found += [
                Combination(
                    name,
                    tuple(say(int(one)) for say, one in zip(spell, values[row], strict=True)),
                    float(weights[row]),
                    int(counts[row]),
                )
                for row in order
                if weights[row]
            ]
    return found


def combinations(columns: Mapping[str, np.ndarray], parts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which ids of the parts occur together, and in how many events, the most frequent first.

    A part with several values makes a combination of each. Events without a value of some part have none.

    Returns:
        int64 [combinations, parts] and int64 [combinations].

    """
    width = max(columns[part].shape[1] if columns[part].ndim == 2 else 1 for part in parts)
    flat = [columns[part].reshape(-1) if columns[part].ndim == 2 else np.repeat(columns[part], width) for part in parts]
    rows = np.stack(flat, axis=1).astype(np.int64)
    rows = rows[(rows != 0).all(axis=1)]
    values, counts = np.unique(rows, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_COMBINATIONS]
    return values[order], counts[order]


def combination_weights(
    model: FieldRanking, columns: Arrays, parts: Sequence[str], values: np.ndarray, name: str
) -> np.ndarray:
    """First-order weight of combinations, as the model itself looks them up. float [combinations]

    Args:
        model: trained.
        columns: encoded features of its fields, at least one row.
        parts: of the cross.
        values: ids of the parts. int64 [combinations, parts]
        name: of the cross.

    """
    plan = model.embedding.plan
    # Any row does: the weight of a cross depends on its parts alone.
    rows = {key: np.repeat(columns[key][:1], len(values), axis=0) for key in plan.required_features}
    for at, part in enumerate(parts):
        ids = np.zeros_like(rows[part])
        ids[(slice(None), 0) if ids.ndim == 2 else slice(None)] = values[:, at]
        rows[part] = ids
        weights = model.inputs.schema.weights_of(part)
        if weights in rows:
            rows[weights] = np.ones_like(rows[weights])
    embedded = model.embedding({key: tf.constant(column) for key, column in rows.items()})
    found: np.ndarray = embedded.weights[:, plan.terms.index(name)].numpy()
    return found
