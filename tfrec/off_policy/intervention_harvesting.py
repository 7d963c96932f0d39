"""Examination from the logs of several rankers: where they put one item of one query at different positions by chance
(which ranker answered), the log holds swap experiments that nobody had to run.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, logit

from tfrec.errors import DataError
from tfrec.off_policy.examination import Examination, clicks_and_positions

RESAMPLES = 200
_EDGE = 1e-9


def examination_by_harvesting(
    clicks: np.ndarray, positions: np.ndarray, pairs: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> Examination:
    """The AllPairs estimate of examination.

    Of the pairs that were shown at both k and k′, with a click rate m_k at k each, C_kk′ = Σ m_k and N_kk′ is their
    number. Maximised over examination θ_k and the mean relevance r_kk′ = r_k′k of those pairs:
    Σ_{k≠k′} C_kk′ log(θ_k r_kk′) + (N_kk′ − C_kk′) log(1 − θ_k r_kk′).

    Args:
        clicks: 0 or 1. [rows]
        positions: where the item was shown; for one pair independent of what the user wants. int [rows]
        pairs: the query (or user) and item of the row, as one label. [rows]
        resamples: bootstrap over pairs for the interval; 0 for none.
        seed: of the bootstrap.

    Raises:
        DataError: as `clicks_and_positions`; or positions that no chain of shared pairs connects.

    Source: Agarwal et al., "Estimating position bias without intrusive interventions" (2019).

    """
    clicked, known, place = clicks_and_positions(clicks, positions)
    rates, present = _rates_by_pair(clicked, place, pairs, len(known))
    _require_connected(_shared(present, present), known)
    rng = np.random.default_rng(seed)
    relative = _fit(_shared(rates, present), _shared(present, present))
    if not resamples:
        return Examination(known, relative)
    drawn = []
    for _ in range(resamples):
        counts = np.bincount(rng.integers(0, rates.shape[0], rates.shape[0]), minlength=rates.shape[0])
        weighted = sparse.diags_array(counts.astype(np.float64)) @ present
        drawn.append(_fit(_shared(rates, weighted), _shared(present, weighted), start=relative))
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return Examination(known, relative, low, high)


def _rates_by_pair(
    clicked: np.ndarray, place: np.ndarray, pairs: np.ndarray, size: int
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Click rate, and 1, where a pair was shown: [pairs, positions]. Pairs of one position are left out."""
    _, pair = np.unique(pairs, return_inverse=True)
    cells, cell = np.unique(pair.ravel() * size + place, return_inverse=True)
    shown = np.bincount(cell)
    rate = np.bincount(cell, weights=clicked) / shown
    row, column = cells // size, cells % size
    several = np.bincount(row)[row] > 1
    at = (row[several], column[several])
    shape = (int(pair.max()) + 1, size)
    rates = sparse.csr_array((rate[several], at), shape=shape)
    present = sparse.csr_array((np.ones(several.sum()), at), shape=shape)
    return rates, present


def _shared(values: sparse.csr_array, present: sparse.csr_array) -> np.ndarray:
    """Σ over the pairs shown at both k and k′ of the value at k: [positions, positions], 0 on the diagonal."""
    total = (values.T @ present).toarray()
    np.fill_diagonal(total, 0.0)
    return np.asarray(total)


def _require_connected(shared: np.ndarray, known: np.ndarray) -> None:
    parts, part = connected_components(shared > 0, directed=False)
    if parts > 1:
        alone = known[part != part[0]]
        raise DataError(
            f"position {alone[0]}: no pair connects it with position {known[0]}; log rankers that differ more, or "
            "leave its rows out"
        )


def _fit(clicks: np.ndarray, shown: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """θ relative to the first position."""
    size = len(shown)
    upper = np.triu_indices(size, 1)
    scale = max(float(shown.sum()), 1.0)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        theta, relevance = expit(x[:size]), np.zeros((size, size))
        relevance[upper] = expit(x[size:])
        relevance = relevance + relevance.T
        chance = np.clip(theta[:, None] * relevance, _EDGE, 1 - _EDGE)
        value = -(clicks * np.log(chance) + (shown - clicks) * np.log1p(-chance)).sum() / scale
        slope = -(clicks / chance - (shown - clicks) / (1 - chance)) / scale
        by_theta = (slope * relevance).sum(axis=1) * theta * (1 - theta)
        by_relevance = slope * theta[:, None]
        both = (by_relevance + by_relevance.T)[upper] * expit(x[size:]) * (1 - expit(x[size:]))
        return float(value), np.concatenate([by_theta, both])

    first = np.full(size, 0.7) if start is None else np.clip(0.9 * start / start.max(), 0.01, 0.9)
    rate = np.clip((clicks + clicks.T)[upper] / np.maximum(2 * shown[upper], 1) / 0.7, 0.01, 0.9)
    found = minimize(
        loss,
        logit(np.concatenate([first, rate])),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000, "ftol": 1e-13},
    )
    theta = expit(found.x[:size])
    relative: np.ndarray = theta / theta[0]
    return relative
