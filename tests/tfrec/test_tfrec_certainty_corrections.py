"""Corrections for several comparisons, against their definitions by brute force and SciPy."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from tfrec.certainty import benjamini_hochberg, holm
from tfrec.errors import DataError

P_VALUES = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=6)


def closed_bonferroni(p_values):
    """Holm's test is the closure of Bonferroni's: the largest p-value of any set that a hypothesis belongs to."""
    found = []
    for i in range(len(p_values)):
        others = [j for j in range(len(p_values)) if j != i]
        sets = [(i, *rest) for size in range(len(p_values)) for rest in itertools.combinations(others, size)]
        found.append(max(min(1.0, len(some) * min(p_values[j] for j in some)) for some in sets))
    return found


@given(P_VALUES)
@settings(max_examples=100, deadline=None)
def test_holm_is_the_closure_of_bonferroni(p_values):
    np.testing.assert_allclose(holm(np.array(p_values)), closed_bonferroni(p_values), rtol=1e-12)


@given(P_VALUES)
@settings(max_examples=100, deadline=None)
def test_benjamini_hochberg_is_scipys(p_values):
    np.testing.assert_allclose(benjamini_hochberg(np.array(p_values)), false_discovery_control(p_values), rtol=1e-12)


@given(P_VALUES, st.floats(0.001, 0.999))
@settings(max_examples=100, deadline=None)
def test_at_every_level_benjamini_hochberg_rejects_as_the_step_up_procedure_says(p_values, alpha):
    ordered, m = sorted(p_values), len(p_values)
    assume(all(abs(m * p / k - alpha) > 1e-9 for p in p_values for k in range(1, m + 1)))  # no rounding decides
    passed = [k for k in range(1, m + 1) if m * ordered[k - 1] / k <= alpha]
    limit = ordered[max(passed) - 1] if passed else -1.0
    rejected = benjamini_hochberg(np.array(p_values)) <= alpha
    assert rejected.tolist() == [p <= limit for p in p_values]


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_an_unknown_p_value_stays_unknown_and_is_not_counted(correct):
    found = correct(np.array([0.01, np.nan, 0.04]))
    np.testing.assert_allclose(found[[0, 2]], correct(np.array([0.01, 0.04])))
    assert np.isnan(found[1])
    assert np.isnan(correct(np.array([np.nan]))).all()
    assert len(correct(np.zeros(0))) == 0


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_what_is_no_p_value_is_refused(correct):
    with pytest.raises(DataError, match="allowed: 0 to 1"):
        correct(np.array([0.5, 1.2]))
