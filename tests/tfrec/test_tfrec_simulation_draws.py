"""Draws that depend on nothing but their keys."""

import warnings

import numpy as np
import pytest
from scipy import stats

from tfrec.simulation.draws import Stream, normals, uniforms


def test_a_draw_depends_on_its_keys_alone_and_not_on_what_is_drawn_beside_it():
    together = uniforms(3, Stream.VISIT, 7, np.arange(100))
    alone = [float(uniforms(3, Stream.VISIT, 7, user)) for user in range(100)]
    assert together.tolist() == alone


def test_draws_are_uniform():
    assert stats.kstest(uniforms(1, Stream.VISIT, 5, np.arange(100_000)), "uniform").pvalue > 1e-3


def test_normals_are_normal():
    assert stats.kstest(normals(1, Stream.TASTE, np.arange(100_000), 2), "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, Stream.VISIT, 5), (2, Stream.VISIT, 5)),
        ((1, Stream.VISIT, 5), (1, Stream.CONTEXT, 5)),
        ((1, Stream.VISIT, 5), (1, Stream.VISIT, 6)),
        ((0, Stream.VISIT, 0), (0, Stream.VISIT, 1)),
    ],
)
def test_seeds_streams_and_keys_are_independent(one, other):
    keys = np.arange(50_000)
    assert abs(np.corrcoef(uniforms(*one, keys), uniforms(*other, keys))[0, 1]) < 4 / np.sqrt(len(keys))
    shifted = uniforms(*other, keys)[1:]
    assert abs(np.corrcoef(uniforms(*one, keys)[:-1], shifted)[0, 1]) < 4 / np.sqrt(len(keys))


def test_the_order_of_the_keys_matters():
    a, b = np.arange(1000)[:, None], np.arange(1000)
    square = uniforms(1, Stream.VISIT, a, b)
    assert abs(np.corrcoef(square.ravel(), square.T.ravel())[0, 1]) < 0.01


def test_scalar_keys_wrap_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert uniforms(2**31, Stream.VISIT, 2**31, 5).shape == ()
