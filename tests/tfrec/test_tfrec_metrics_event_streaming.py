"""Metrics of events in parts are those of all events at once, however they were cut and whoever summed them up."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.errors import DataError
from tfrec.metrics import (
    ErrorAccumulator,
    EventAccumulator,
    auc,
    calibration_ratio,
    expected_calibration_error,
    gauc,
    log_loss,
    ndcg_by_group,
    normalised_entropy,
    pr_auc,
    prediction_bias,
)

GROUPS = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.sampled_from([-3.0, -0.5, 0.0, 0.25, 4.0]), st.sampled_from([0.0, 0.5, 1.0, 2.0])
        ),
        min_size=1,
        max_size=6,
    ),
    min_size=1,
    max_size=8,
)


def columns(groups):
    rows = [(*row, name) for name, rows in groups for row in rows]
    return [np.array(column) for column in zip(*rows, strict=True)]


@settings(max_examples=80, deadline=None)
@given(GROUPS, st.randoms(use_true_random=False))
def test_any_parts_in_any_order_give_the_metrics_of_all_events(groups, random):
    named = list(enumerate(groups))
    labels, logits, weights, of_row = columns(named)
    p = 1 / (1 + np.exp(-logits))
    expected = {
        "auc": auc(labels, logits, weights),
        "pr_auc": pr_auc(labels, logits, weights),
        "log_loss": log_loss(labels, logits, weights),
        "normalised_entropy": normalised_entropy(labels, logits, weights),
        "expected_calibration_error": expected_calibration_error(labels, p, weights),
        "calibration_ratio": calibration_ratio(labels, p, weights),
        "prediction_bias": prediction_bias(labels, p, weights),
        "gauc": gauc(labels, logits, of_row, weights).mean,
        "request_ndcg_at_2": ndcg_by_group(labels, logits, of_row, [2])[2].mean,
    }
    random.shuffle(named)
    workers = [EventAccumulator(ks=[2]), EventAccumulator(ks=[2])]
    while named:
        size = random.randint(1, 3)
        part, named = named[:size], named[size:]
        given_labels, given_logits, given_weights, given_groups = columns(part)
        random.choice(workers).add(given_labels, given_logits, given_weights, given_groups)
    workers[0].merge(workers[1])
    assert workers[0].metrics() == pytest.approx(expected, nan_ok=True, abs=1e-12)


def test_without_groups_or_events_what_needs_them_is_nan():
    found = EventAccumulator(ks=[3])
    found.add([], [])
    assert all(np.isnan(value) for value in found.metrics().values())
    found.add([1, 0], [0.5, -0.5])
    assert found.metrics()["auc"] == 1
    assert np.isnan([found.metrics()["gauc"], found.metrics()["request_ndcg_at_3"]]).all()


def test_what_is_no_label_or_no_logit_is_refused_before_anything_is_added():
    found = EventAccumulator()
    with pytest.raises(ValueError, match=r"a label is 0\.5; allowed: 0 and 1"):
        found.add([0.5, 1], [0.0, 1.0])
    with pytest.raises(DataError, match="logits: 1 of 2 are NaN"):
        found.add([0, 1], [0.0, math.nan])
    assert np.isnan(found.metrics()["prediction_bias"])


def test_sums_of_other_cuts_are_not_added():
    with pytest.raises(ValueError, match=r"ks \(5,\) and 10 bins do not go with \(\) and 10"):
        EventAccumulator().merge(EventAccumulator(ks=[5]))


def test_small_parts_are_sorted_in_together_and_counted_once():
    rng = np.random.default_rng(4)
    labels, logits, weights = rng.integers(0, 2, 500), rng.normal(size=500).round(2), rng.integers(0, 3, 500)
    found, other = EventAccumulator(), EventAccumulator()
    for row in range(500):
        (found if row % 3 else other).add(labels[row : row + 1], logits[row : row + 1], weights[row : row + 1])
        if row in (50, 51, 400):
            found.metrics()
    found.merge(other)
    for name, function in (("auc", auc), ("pr_auc", pr_auc)):
        assert found.metrics()[name] == pytest.approx(function(labels, logits, weights))
    assert len(found._logits) == len(np.unique(logits))


VALUES = st.lists(
    st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.sampled_from([0.0, 0.5, 1.0, 2.0])), min_size=1, max_size=20
)


@settings(max_examples=50, deadline=None)
@given(VALUES, st.integers(0, 20))
def test_errors_in_parts_are_the_loops_over_all_events(rows, cut):
    workers = [ErrorAccumulator(), ErrorAccumulator()]
    for worker, part in zip(workers, (rows[:cut], rows[cut:]), strict=True):
        worker.add([y for y, _, _ in part], [p for _, p, _ in part], [w for _, _, w in part])
    workers[0].merge(workers[1])
    total = sum(w for _, _, w in rows)
    if not total:
        assert np.isnan(list(workers[0].metrics().values())).all()
        return
    assert workers[0].metrics() == pytest.approx(
        {
            "rmse": math.sqrt(sum(w * (p - y) ** 2 for y, p, w in rows) / total),
            "mae": sum(w * abs(p - y) for y, p, w in rows) / total,
            "prediction_bias": sum(w * (p - y) for y, p, w in rows) / total,
        },
        abs=1e-12,
    )
