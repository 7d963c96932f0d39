"""What the values of users must be like, said in one line where they are not."""

from __future__ import annotations

import numpy as np

from tfrec.errors import ConfigError, DataError


def checked_values(
    values: np.ndarray, weights: np.ndarray | None = None, users: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return values and weights. float64 [users, metrics] both; weights of 1 where none are given.

    Raises:
        DataError: shapes differ, values are infinite, or weights negative or absent.

    """
    array = np.asarray(values, np.float64)
    if array.ndim not in (1, 2):
        raise DataError(f"values: got shape {array.shape}; allowed: [users] or [users, metrics]")
    if np.isinf(array).any():
        raise DataError(f"values: {np.isinf(array).sum():,} are infinite; NaN says that a user has no value")
    if users is not None and np.shape(users) != array.shape[:1]:
        raise DataError(f"users: got shape {np.shape(users)} for {len(array):,} values; one user index per value")
    table = array if array.ndim == 2 else array[:, None]
    if weights is None:
        return table, np.broadcast_to(1.0, table.shape)
    given = np.asarray(weights, np.float64)
    if given.shape not in (array.shape, array.shape[:1]):
        raise DataError(
            f"weights: got shape {given.shape} for values of shape {array.shape}; allowed: [users] or the same"
        )
    if not (np.isfinite(given) & (given >= 0)).all():
        raise DataError("weights: some are negative, infinite or NaN; 0 leaves a user out")
    return table, np.broadcast_to(given if given.ndim == 2 else given[:, None], table.shape)


def checked_confidence(confidence: float) -> None:
    """Raise ConfigError for a confidence that is none."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence: got {confidence}; allowed: above 0 and below 1, such as 0.95")
