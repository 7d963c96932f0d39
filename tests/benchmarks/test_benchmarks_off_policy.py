"""The coverage table: its arithmetic on estimates that are given, and a small run of the real one."""

import numpy as np
import pytest

from benchmarks.off_policy_coverage import WHAT, Regime, coverage_table
from tfrec.off_policy import Estimate


def given(name, value, low, high, claims):
    return Estimate(name, value, np.ones_like(value), low, high, claims)


def test_a_row_counts_the_intervals_that_hold_the_truth_over_all_chunks():
    def estimates(seed, runs):
        value = np.full(runs, 1.0 if seed == 0 else 4.0)
        return [given("one", value, value - 1, value + 2, np.arange(runs) < 1000)]

    (row,) = Regime("r", 2.0, estimates).rows(150)  # 100 and 50: [0, 3] holds 2, [3, 6] does not
    assert row.coverage == pytest.approx(100 / 150)
    assert row.claimed == 1
    assert row.bias == pytest.approx((100 * 1 + 50 * 4) / 150 - 2)
    assert row.rmse == pytest.approx(np.sqrt((100 * 1 + 50 * 4) / 150))
    assert row.width == pytest.approx(3)


def test_an_estimator_that_claims_no_interval_stands_in_brackets_and_out_of_the_verdict():
    def estimates(seed, runs):
        value = np.zeros(runs)
        return [given("free", value, value - 1, value + 1, np.zeros(runs, bool))]

    (row,) = Regime("r", 0.0, estimates).rows(10)
    assert not row.is_claimed
    assert row.cells() == "| r | free | (100.0%) | 0% | +0.0000 | 0.0000 | 2.0000 |"


@pytest.mark.parametrize("what", WHAT)
def test_a_small_run_has_a_row_for_every_regime_and_estimator_and_ends_with_the_verdict(what):
    lines = list(coverage_table([what], runs=20))
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| regime")]
    estimators = {line.split(" | ")[1] for line in rows}
    regimes = {line.split(" | ")[0] for line in rows}
    assert len(rows) == len(regimes) * len(estimators)
    claimed = [float(line.split(" | ")[2].rstrip("%")) for line in rows if "(" not in line.split(" | ")[2]]
    assert f"Of {len(claimed)} claimed cells" in lines[-1]
    assert np.mean(claimed) > 85
