"""Gradients as differences of values."""

import numpy as np


def finite_differences(function, x, step=1e-6):
    """Central differences of a scalar function of a float64 array, one entry at a time."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient
