"""The plain recommender inside the loop: matrix factorisation by weighted least squares, in closed form.

    minimise Σ_observed w (t − x_u · y_i)² + α Σ_all (x_u · y_i)² + λ (Σ |x_u|² + Σ |y_i|²)

over the cells (u, i) of the log. `clicks`: clicked cells have t = 1 and everything else counts as unwanted with α,
shown or not (Hu, Koren and Volinsky 2008, as in Rendle et al. 2021): what recommenders of clicks alone do.
`impressions`: t is the share of clicks among the impressions of the cell above that of the whole log, and what was
never shown is unknown.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from tfrec.config_file import Config


class LearnerConfig(Config):
    signal: Literal["clicks", "impressions"] = Field("clicks", description="what it learns from")
    factors: int = Field(4, ge=1)
    unobserved_weight: float = Field(0.03, ge=0, description="α, of clicks alone")
    regularization: float = Field(5.0, gt=0, description="λ")
    passes: int = Field(10, ge=1)


def fit_scores(
    config: LearnerConfig,
    users: np.ndarray,
    items: np.ndarray,
    clicks: np.ndarray,
    weights: np.ndarray,
    shape: tuple[int, int],
) -> np.ndarray:
    """Scores of every user for every item from impressions, each an element of the 1-D arguments.

    Users without an observed cell get the mean of the others; nothing but the arguments decides the result.

    Args:
        config: of the learner.
        users: int64 [impressions]
        items: int64 [impressions]
        clicks: bool [impressions]
        weights: how much each impression counts. float64 [impressions]
        shape: number of users, number of items.

    Returns:
        float64 [users, items]

    """
    if config.signal == "clicks":
        users, items, weights, alpha = users[clicks], items[clicks], weights[clicks], config.unobserved_weight
        targets = np.ones(len(users))
    else:
        mean = np.average(clicks, weights=weights) if len(clicks) else 0.0
        targets, alpha = clicks - mean, 0.0
    # Cells that occur several times add up: their weights, and their weighted targets.
    weight = sparse.csr_matrix((weights, (users, items)), shape=shape)
    product = sparse.csr_matrix((weights * targets, (users, items)), shape=shape)
    item_factors = np.random.default_rng(0).normal(0, config.factors**-0.5, (shape[1], config.factors))
    user_factors = np.zeros((shape[0], config.factors))
    weight_t, product_t = weight.T.tocsr(), product.T.tocsr()
    for _ in range(config.passes):
        user_factors = _solve(weight, product, item_factors, alpha, config.regularization)
        item_factors = _solve(weight_t, product_t, user_factors, alpha, config.regularization)
    is_known = np.diff(weight.indptr) > 0
    if is_known.any():
        user_factors[~is_known] = user_factors[is_known].mean(axis=0)
    return np.asarray(user_factors @ item_factors.T)


def _solve(
    weight: sparse.csr_matrix, product: sparse.csr_matrix, other: np.ndarray, alpha: float, regularization: float
) -> np.ndarray:
    """The best factors of each row, the other side held: (Σ w y yᵀ + α YᵀY + λ I)⁻¹ Σ w t y. float64 [rows, factors]"""
    factors = other.shape[1]
    squares = (other[:, :, None] * other[:, None, :]).reshape(len(other), factors**2)
    gram = (weight @ squares).reshape(-1, factors, factors)
    gram += alpha * (other.T @ other) + regularization * np.eye(factors)
    return np.asarray(np.linalg.solve(gram, (product @ other)[..., None])[..., 0])
