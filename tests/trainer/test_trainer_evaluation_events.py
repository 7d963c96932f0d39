"""Metrics of a ranking model's events, by weight, request, slice and task, against plain loops and scikit-learn."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from tfrec.models.base import TaskLabels
from trainer.data import JobData
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.direction import lower_is_better, neither_is_better
from trainer.evaluation.event_metrics import FEWEST, request_groups, worst_biases
from trainer.evaluation.event_slices import event_slices
from trainer.evaluation.events import event_metrics, item_mean, protocol, task_metrics
from trainer.evaluation.table import _shown

REPEATS = 6  # of the rows of the test split: slices are then large enough to be compared


def with_schema(data, **update):
    found = JobData(data.dataset)
    found.schema = data.schema.model_copy(update=update)
    return found


@pytest.fixture(scope="module")
def events(world):
    """Labels, logits, weights and request ids of rows of the test split; some ids are absent, some weights 0."""
    data = world.data()
    rows = {name: np.tile(values, (REPEATS,) + (1,) * (values.ndim - 1)) for name, values in data.test.items()}
    rng = np.random.default_rng(1)
    size = len(rows["label"])
    rows["label"] = (rng.random(size) < 0.4).astype(np.float32)
    logits = (rng.normal(size=size) + rows["label"]).astype(np.float32)
    rows["request_id"] = np.array([b"r%d" % n if n % 9 else b"" for n in rng.integers(0, 200, size)], object)
    return with_schema(data, request=SimpleNamespace(column="x")), rows, logits, rng.integers(0, 4, size).astype(float)


def auc_by(groups, labels, logits, weights):
    """Mean over the groups with both classes, by their weight."""
    above = below = 0.0
    column = np.array(groups, object)
    for group in set(groups):
        own = (column == group) & (weights > 0)
        if len(set(labels[own])) == 2:
            value = sklearn.metrics.roc_auc_score(labels[own], logits[own], sample_weight=weights[own])
            above, below = above + weights[own].sum() * value, below + weights[own].sum()
    return above / below


def test_every_metric_counts_an_event_by_its_weight(events):
    data, rows, logits, weights = events
    found = event_metrics(data, EvaluationConfig(ks=(2, 10)), rows, logits, weights)
    labels, p = rows["label"], scipy.special.expit(logits.astype(np.float64))
    rate, mean = np.average(labels, weights=weights), np.average(p, weights=weights)
    loss = sklearn.metrics.log_loss(labels, p, sample_weight=weights)
    tenths = np.minimum((p * 10).astype(int), 9)
    distances = [abs(sum(weights[tenths == t] * (labels - p)[tenths == t])) for t in range(10)]
    expected = {
        "auc": sklearn.metrics.roc_auc_score(labels, logits, sample_weight=weights),
        "gauc": auc_by(rows["user_index"].tolist(), labels, logits, weights),
        "pr_auc": sklearn.metrics.average_precision_score(labels, logits, sample_weight=weights),
        "log_loss": loss,
        "normalised_entropy": loss / -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate)),
        "expected_calibration_error": sum(distances) / weights.sum(),
        "calibration_ratio": mean / rate,
        "prediction_bias": mean - rate,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_events_of_a_request_are_compared_with_each_other_and_those_without_one_with_none(events):
    data, rows, logits, weights = events
    found = event_metrics(data, EvaluationConfig(ks=(2, 10), gauc_by="request"), rows, logits, weights)
    requests = {}
    for place, request in enumerate(rows["request_id"].tolist()):
        if request:
            requests.setdefault(request, []).append(place)
    for k in (2, 10):
        values = []
        for places in requests.values():
            ranked = sorted(places, key=lambda place: -logits[place])
            gains = [sum(rows["label"][place] / math.log2(rank + 2) for rank, place in enumerate(order[:k]))
                     for order in (ranked, sorted(places, key=lambda place: -rows["label"][place]))]  # fmt: skip
            values += [gains[0] / gains[1]] if gains[1] else []
        assert found[f"request_ndcg_at_{k}"] == pytest.approx(np.mean(values))
    alone = [request or place for place, request in enumerate(rows["request_id"].tolist())]
    assert found["gauc"] == pytest.approx(auc_by(alone, rows["label"], logits, weights))
    assert request_groups(np.array([b"b", b"", b"a", b""], object)).tolist() == [2, -2, 1, -4]


def test_a_model_that_only_orders_events_is_judged_by_their_order(events):
    data, rows, logits, weights = events
    found = event_metrics(data, EvaluationConfig(ks=(2,)), rows, logits, weights, predicts_labels=False)
    assert set(found) == {"auc", "gauc", "pr_auc", "request_ndcg_at_2"}


def test_the_worst_bias_is_that_of_the_slice_whose_mean_is_furthest_off(events):
    data, rows, logits, weights = events
    slices = event_slices(data, rows)
    assert {"activity", "popularity", "country"} <= set(slices)
    found = event_metrics(data, EvaluationConfig(), rows, logits, weights)
    p = scipy.special.expit(logits.astype(np.float64))
    for name, of_row in slices.items():
        biases = [np.average((p - rows["label"])[of_row == one], weights=weights[of_row == one])
                  for one in set(of_row.tolist()) if (of_row == one).sum() >= FEWEST]  # fmt: skip
        assert found[f"worst_prediction_bias_by_{name}"] == pytest.approx(max(biases, key=abs))
    assert np.array_equal(slices["country"], rows["country"])
    small = {"few": np.arange(len(logits)) % (len(logits) // FEWEST + 1)}
    assert worst_biases(rows["label"], p, small) == {}


def test_slices_of_users_and_items_are_by_what_training_holds(world):
    data = world.data()
    slices = event_slices(data, data.test)
    counts = np.bincount(data.train["user_index"], minlength=300)
    of_user = counts[data.test["user_index"]]
    by_quarter = [of_user[slices["activity"] == quarter] for quarter in np.unique(slices["activity"])]
    assert len(by_quarter) == 4
    assert all(low.max() <= high.min() for low, high in itertools.pairwise(by_quarter))
    takers = [len(set(data.train["user_index"][data.train["item_index"] == item])) for item in range(120)]
    of_item = np.array(takers)[data.test["item_index"]]
    head, middle, tail = (of_item[slices["popularity"] == part] for part in range(3))
    assert head.min() >= middle.max() >= middle.min() >= tail.max()


def test_a_further_prediction_is_judged_by_the_events_that_say_something_of_it():
    rng = np.random.default_rng(2)
    likes, watched = (rng.random(60) < 0.4).astype(float), rng.random(60) * 9
    p, seconds, weights = rng.random(60), rng.random(60) * 9, rng.integers(1, 4, 60).astype(float)
    known = rng.random(60) < 0.7
    labels = {
        "like": TaskLabels(np.where(known, likes, np.nan), True, weights),
        "seconds": TaskLabels(np.where(known, watched, np.nan), False),
    }
    found = task_metrics(labels, {"like": p.astype(np.float32), "seconds": seconds})
    expected = {
        "like_auc": sklearn.metrics.roc_auc_score(likes[known], p[known], sample_weight=weights[known]),
        "like_log_loss": sklearn.metrics.log_loss(likes[known], p[known], sample_weight=weights[known]),
        "like_prediction_bias": np.average((p - likes)[known], weights=weights[known]),
        "seconds_rmse": math.sqrt(np.mean((seconds - watched)[known] ** 2)),
        "seconds_mae": np.mean(np.abs(seconds - watched)[known]),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    printed = _shown({f"test/{name}": value for name, value in found.items()} | {"test/auc": 0.6}, "test")
    assert printed == ["auc", "like_auc", "seconds_rmse"]


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_the_items_means_do_not_depend_on_the_unit_of_the_weights(world, unit):
    data = world.data()
    labels, items = data.train["label"].astype(np.float64), data.train["item_index"]
    weights = 1.0 + items % 3 + data.train["user_index"] % 2
    weighted = with_schema(data, weight=SimpleNamespace())
    weighted.train = {**data.train, "weight": (unit * weights).astype(np.float32)}
    overall, ten = np.average(labels, weights=weights), 10 * weights.mean()
    expected = [
        ((weights * labels)[items == i].sum() + ten * overall) / (weights[items == i].sum() + ten)
        for i in data.test["item_index"]
    ]
    np.testing.assert_allclose(scipy.special.expit(item_mean(weighted, "test")), expected, rtol=1e-5)


def test_the_protocol_says_what_events_count(events):
    data, *_ = events
    model = SimpleNamespace(calibration=SimpleNamespace(name="platt"), logit_shift=-2.302585)
    said = protocol(model, with_schema(data, weight=SimpleNamespace()), EvaluationConfig(gauc_by="request"))
    assert said["gauc"] == "compares events of one request"
    assert said["weights"].startswith("each event counts by its weight")
    assert said["calibration"].startswith("platt, fitted on validation")
    assert said["correction"].startswith("-2.3026 is added to the logits")


def test_lower_is_better_of_errors_whatever_the_task_and_neither_of_a_bias():
    for metric in ("log_loss", "like_log_loss", "watch_time_rmse", "like_expected_calibration_error"):
        assert lower_is_better(metric)
    assert not any(lower_is_better(metric) for metric in ("auc", "like_auc", "ndcg_at_10", "calibration_ratio"))
    for metric in ("prediction_bias", "like_calibration_ratio", "worst_prediction_bias_by_age", "coverage_at_10"):
        assert neither_is_better(metric)
    assert not any(neither_is_better(metric) for metric in ("auc", "rmse", "seconds_mae"))
