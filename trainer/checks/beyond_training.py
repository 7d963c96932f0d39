"""Numbers that held-out rows have and training has not: what a model says of them it cannot have learnt.

Absolute time and counters that only grow are so under a cut in time: whatever a net says above the largest value that
it has seen is an accident of its weights. Buckets end there, gaps and ages (time since) come back; both are fine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tfrec.models.learning import GradientModel
from tfrec.models.recommender import Recommender
from tfrec.schema import NumericFeature
from trainer.data import JobData

SHARE = 0.05  # of the rows: fewer lie outside of any sample's range
ROUNDING = 1e-4  # of encoded values, which are float32
HELD_OUT = ("validation", "test")


@dataclass(frozen=True)
class Beyond:
    """A feature whose held-out values training does not have.

    Attributes:
        feature: its name.
        split: in which they are.
        share: of the split's rows whose value lies below or above all of training.
        low: of training, in units of the log.
        high: likewise.

    """

    feature: str
    split: str
    share: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            training = f"training has {self.low:g} alone"
        else:
            training = f"training ends at {self.low:g} and {self.high:g}"
        return (
            f"{self.feature}: {self.share:.0%} of the {self.split} rows lie outside of its range in training "
            f"({training}); a net can't extrapolate: give it 'buckets', the time since something instead "
            "of the time, or leave it out"
        )


def beyond_training(data: JobData, columns: Collection[str], splits: Sequence[str] = HELD_OUT) -> list[Beyond]:
    """Numbers of a dataset that a model of these columns would have to extrapolate, each with its worst split."""
    found = []
    for name in sorted(set(columns) & set(data.schema.features)):
        feature = data.schema.features[name]
        statistics = data.dataset.statistics["features"].get(name, {})
        if not isinstance(feature, NumericFeature) or feature.buckets is not None or "quantiles" not in statistics:
            continue
        low, high = statistics["quantiles"]["0"], statistics["quantiles"]["1"]
        ends = [_encoded(end, feature, statistics["encoding"]) for end in (low, high)]
        shares = {split: _share_outside(data.columns(split, [name])[name], *ends) for split in splits}
        worst = max(reversed(shares), key=shares.__getitem__, default=None)  # of equal ones the later split
        if worst is not None and shares[worst] > SHARE:
            found.append(Beyond(name, worst, shares[worst], low, high))
    return found


def columns_read(model: Recommender) -> frozenset[str]:
    """What a model learns from or answers by, of the columns of the records."""
    learnt_from = model.train_columns() if isinstance(model, GradientModel) else frozenset()
    return model.required_features | learnt_from


def _encoded(value: float, feature: NumericFeature, encoding: dict[str, float]) -> float:
    """As the feature transform encodes it; rises with the value."""
    seen = math.log1p(max(value, 0.0)) if feature.log else value
    return (seen - encoding["mean"]) / encoding["standard_deviation"] if feature.standardize else seen


def _share_outside(values: np.ndarray, low: float, high: float) -> float:
    below, above = (end - sign * ROUNDING * max(1.0, abs(end)) for sign, end in ((1, low), (-1, high)))
    return float(((values < below) | (values > above)).mean()) if len(values) else 0.0
