"""Many models against one, at once: the largest difference that chance makes among all of them is the yardstick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.certainty.paired import same_users
from tfrec.certainty.sign_flip import flipped_sums, tolerance
from tfrec.errors import DataError


@dataclass(frozen=True)
class FamilyComparison:
    """Models against a baseline; all float [models].

    Attributes:
        differences: mean of model − baseline
        low: of intervals that hold all true differences at once with the confidence
        high: likewise
        p_values: adjusted for the family, two-sided
        users: that have a value of all models

    """

    differences: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_values: np.ndarray
    users: int


def compare_with_one(
    baseline: np.ndarray,
    models: np.ndarray,
    *,
    users: np.ndarray | None = None,
    confidence: float = 0.95,
    flips: int = 10_000,
    seed: int = 0,
) -> FamilyComparison:
    """Compare several models with one baseline on the same users.

    p-values are Westfall & Young's (1993, algorithm 2.8) step-down max-T by flipping each user's signs of all models
    together, which keeps how the models go along: less strict than `holm` where they are alike. T_m = Σ d_m / √Σ d_m².
    Intervals are d̄_m ± c √Σ (d_m − d̄_m)² / n, c the confidence quantile of the largest |T| (Chernozhukov et al. 2013).

    Args:
        baseline: of a user, NaN for none. float [users]
        models: likewise, in the same order. float [models, users]
        users: distinct user indices, to which the signs belong. int [users]
        confidence: of all intervals together
        flips: random sign vectors
        seed: of them

    Raises:
        DataError: the users differ, or fewer than two have all values.

    """
    table = np.stack([np.subtract(*same_users(model, baseline, None, None)) for model in models], axis=1)
    is_there = ~np.isnan(table).any(axis=1)
    differences = table[is_there]
    if len(differences) < 2:
        raise DataError(f"{len(differences)} of {len(table):,} users have a value of all models; at least 2 are needed")
    keys = (np.arange(len(table)) if users is None else np.asarray(users))[is_there]
    p_values = _step_down(differences, keys, flips, seed)
    mean = differences.mean(axis=0)
    centred = differences - mean
    largest = np.abs(_scaled(flipped_sums(centred, keys, flips=flips, seed=seed)[0], centred)).max(axis=1)
    half = np.quantile(largest, confidence) * np.sqrt((centred**2).sum(axis=0)) / len(differences)
    return FamilyComparison(mean, mean - half, mean + half, p_values, len(differences))


def _step_down(differences: np.ndarray, keys: np.ndarray, flips: int, seed: int) -> np.ndarray:
    sums, is_exact = flipped_sums(differences, keys, flips=flips, seed=seed)
    rounding = _scaled(tolerance(differences), differences)
    observed = np.abs(_scaled(differences.sum(axis=0), differences)) - rounding
    order = np.argsort(-observed, kind="stable")
    chance = np.abs(_scaled(sums, differences))[:, order]
    largest = np.maximum.accumulate(chance[:, ::-1], axis=1)[:, ::-1]  # among this model and those behind it
    counts = (largest >= observed[order]).sum(axis=0)
    p_values = np.empty(len(order))
    p_values[order] = np.maximum.accumulate(counts / len(sums) if is_exact else (1 + counts) / (1 + len(sums)))
    return p_values


def _scaled(sums: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """Sums over √Σ d², which flipping signs does not change; 0 for a model that never differs."""
    size = np.sqrt((differences**2).sum(axis=0))
    return np.divide(sums, size, out=np.zeros_like(sums), where=size > 0)
