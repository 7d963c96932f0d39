"""The coverage benchmark in small: every claim is kept within what few runs can show, and a broken one is named."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.certainty_coverage import Case, cases, line, ratio, weighted_auc

QUICK = [case for case in cases() if case.low > 0 and not ("10,000" in case.name or "4,000" in case.name)]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_an_interval_holds_the_truth_about_as_often_as_it_says(case):
    runs = 50
    held = sum(case.holds(np.random.default_rng([7, run])) for run in range(runs))
    assert binom.ppf(1e-4, runs, case.low) <= held


@pytest.mark.parametrize("world", ["ratio", "skewed", "explained"])
def test_an_always_valid_interval_holds_at_all_looks_where_fixed_ones_fail(world):
    always, fixed = (
        next(case for case in cases() if case.name.startswith(start) and world in case.name)
        for start in ("sequential", "fixed")
    )
    runs = 20
    held = sum(always.holds(np.random.default_rng([1, run])) for run in range(runs))
    assert binom.ppf(1e-4, runs, 0.95) <= held
    missed = sum(not fixed.holds(np.random.default_rng([2, run])) for run in range(runs))
    assert missed > binom.ppf(0.5, runs, 0.05)  # they would miss one in twenty if one looked once


def test_the_truths_of_the_worlds_are_their_means_over_many_users():
    rng = np.random.default_rng(0)
    values, weights, truth = weighted_auc(rng, 2_000_000)
    assert np.average(values, weights=weights) == pytest.approx(truth, abs=5e-4)
    pair, difference = ratio(rng, 2_000_000)
    means = [pair.numerator[side].sum() / pair.denominator[side].sum() for side in (~pair.is_variant, pair.is_variant)]
    assert means[1] - means[0] == pytest.approx(difference, abs=5e-4)


def test_a_row_says_whether_the_claim_is_kept():
    kept, broken, none = (
        line(Case("case", low, high, lambda rng: bool(rng.random() < 0.95)), 400, 0)
        for low, high in ((0.93, 0.97), (0.98, 1.0), (0.0, 1.0))
    )
    assert kept.startswith("| case | 9")
    assert kept.endswith("| 93% to 97% | yes |")
    assert broken.endswith("| 98% to 100% | **no** |")
    assert none.endswith("|  |  |")
