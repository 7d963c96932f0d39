"""What a report's figures are made of, against plain loops."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from tfrec.metrics.lists import NO_ITEM, RankedLists
from trainer.report.bias import bias_tables
from trainer.report.calibration import BINS, calibration_plot, reliability
from trainer.report.estimates import FEWEST_USERS, difference, estimate, verdict
from trainer.report.facts import beyond_accuracy
from trainer.report.item_map import principal_plane
from trainer.report.names import (
    bytes_text,
    interval,
    metric_name,
    number,
    p_value,
    range_text,
    seconds_text,
    set_name,
    signed,
)
from trainer.report.per_user import EventOutcome, ListOutcome, PerUser, is_per_user
from trainer.report.ranks import CUT, exposure
from trainer.report.results import JobResults
from trainer.report.tables import column_names, main_metrics, main_table, set_rows, slice_tables

USERS, ITEMS = 40, 30


def random_lists(seed):
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(ITEMS)[:12] for _ in range(USERS)])
    items[rng.random(USERS) < 0.3, 7:] = NO_ITEM
    relevant = [np.sort(rng.choice(ITEMS, rng.integers(1, 5), replace=False)) for _ in range(USERS)]
    splits = np.concatenate([[0], np.cumsum([len(wanted) for wanted in relevant])])
    users = np.sort(rng.choice(500, USERS, replace=False))
    return RankedLists(users, items, np.zeros(items.shape, np.float32), splits, np.concatenate(relevant)), relevant


@pytest.mark.parametrize("seed", range(3))
def test_a_metric_of_some_items_asks_for_them_alone(seed):
    lists, relevant = random_lists(seed)
    members = np.random.default_rng(seed).random(ITEMS) < 0.4
    expected = {}
    for row, user in enumerate(lists.users):
        wanted = {item for item in relevant[row].tolist() if members[item]}
        if wanted:
            found = [item in wanted for item in lists.items[row].tolist()]
            dcg = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(found[:5], 1) if hit)
            expected[int(user)] = dcg / sum(1 / math.log2(rank + 1) for rank in range(1, min(5, len(wanted)) + 1))
    found = ListOutcome(lists).per_user("ndcg_at_5", members)
    assert dict(zip(found.users.tolist(), found.values.tolist(), strict=True)) == pytest.approx(expected)


def test_lists_in_any_order_of_users_give_values_by_ascending_user():
    lists, _ = random_lists(0)
    shuffled = lists.of(np.random.default_rng(1).permutation(USERS))
    straight, found = (ListOutcome(one).per_user("recall_at_10") for one in (lists, shuffled))
    assert np.array_equal(straight.users, found.users)
    assert np.array_equal(straight.values, found.values)


def events(seed=0, rows=200):
    rng = np.random.default_rng(seed)
    return {
        "user_index": rng.integers(0, 20, rows),
        "item_index": rng.integers(0, ITEMS, rows),
        "label": (rng.random(rows) < 0.4).astype(np.float32),
        "prediction": rng.normal(size=rows).astype(np.float32),
    }


@pytest.mark.parametrize("metric", ["log_loss", "rmse", "mae"])
def test_the_mean_over_users_weighted_by_events_is_the_mean_over_events(metric):
    given = events()
    errors = []
    for label, z in zip(given["label"].tolist(), given["prediction"].tolist(), strict=True):
        if metric == "log_loss":
            p = 1 / (1 + math.exp(-z))
            errors.append(-math.log(p) if label else -math.log(1 - p))
        else:
            errors.append((z - label) ** 2 if metric == "rmse" else abs(z - label))
    mean = sum(errors) / len(errors)
    found = estimate(EventOutcome(given).per_user(metric), metric)
    assert found.mean == pytest.approx(math.sqrt(mean) if metric == "rmse" else mean)
    assert found.low < found.mean < found.high


def per_user(values, users=None):
    values = np.asarray(values, float)
    return PerUser(np.arange(len(values)) if users is None else np.asarray(users), values, np.ones(len(values)))


def test_a_difference_is_positive_where_the_first_is_better_whatever_the_metric():
    low, high = per_user([0.1, 0.2, 0.1, 0.3]), per_user([0.4, 0.4, 0.1, 0.5])
    assert difference(high, low, "ndcg_at_10").mean == pytest.approx(0.175)
    assert difference(low, high, "log_loss").mean == pytest.approx(0.175)
    found = difference(high, low, "ndcg_at_10")
    assert (found.wins, found.ties, found.losses) == (3, 1, 0)


def test_a_difference_is_over_the_users_of_both():
    found = difference(per_user([1, 2, 3], [4, 7, 9]), per_user([5, 1, 1], [3, 7, 9]), "recall_at_5")
    assert found.users == 2
    assert found.mean == pytest.approx(1.5)
    assert difference(per_user([1], [4]), per_user([1], [5]), "recall_at_5") is None


@pytest.mark.parametrize("test", ["sign_flip", "t"])
def test_a_difference_of_users_who_weigh_differently_is_that_of_the_estimates(test):
    counts = np.array([1.0] * 9 + [100.0])
    users = np.arange(10)
    first = PerUser(users, np.array([0.5] * 9 + [0.2]), counts)
    second = PerUser(users, np.array([0.4] * 9 + [0.5]), counts)
    expected = (9 * (0.4 - 0.5) + 100 * (0.5 - 0.2)) / 109
    found = difference(first, second, "log_loss", test=test)
    assert found.mean == pytest.approx(expected)
    assert found.mean == pytest.approx(estimate(second, "log_loss").mean - estimate(first, "log_loss").mean)
    assert found.low <= found.mean <= found.high
    gains = (counts * (second.values - first.values)).tolist()
    sums = [sum(g if signs >> i & 1 else -g for i, g in enumerate(gains)) for signs in range(2**10)]
    assert found.p_value == pytest.approx(sum(abs(s) >= abs(sum(gains)) - 1e-9 for s in sums) / 2**10)


def results_of(model, metrics, outcomes=None, monitor=None):
    """Of a job that is not on disk; `outcomes` of the test set by baseline, None for the model."""
    found = object.__new__(JobResults)
    found.config = SimpleNamespace(model_name=model, train=SimpleNamespace(monitor=monitor))
    found.job = SimpleNamespace()
    found.metrics = metrics
    found._outcomes = dict(outcomes or {})
    return found


@pytest.mark.parametrize(
    ("ks", "monitor", "expected"),
    [
        ((5, 10, 20), None, "ndcg_at_10"),
        ((5, 20), None, "ndcg_at_5"),
        ((100, 20), None, "ndcg_at_20"),
        ((5, 20), "recall_at_20", "recall_at_20"),
        ((5, 20), "recall_at_10", "ndcg_at_5"),
        ((5, 20), "coverage_at_20", "ndcg_at_5"),
    ],
)
def test_the_headline_is_a_metric_that_was_evaluated(ks, monitor, expected):
    names = [f"{base}_at_{k}" for base in ("recall", "ndcg", "coverage") for k in ks]
    metrics = {f"test/{of}{name}": 0.5 for name in names for of in ("", "popularity/")}
    metrics |= {"test/ndcg_at_5/low": 0.4, "validation/ndcg_at_1": 0.5}
    results = results_of("two_tower", metrics, monitor=monitor)
    assert results.headline == expected
    assert results.best_baseline("test", results.headline) == "popularity"


def test_a_ranker_that_only_orders_events_is_judged_by_its_order():
    outcomes = {None: EventOutcome(events(1)), "item_mean": EventOutcome(events(2))}
    metrics = {"test/auc": 0.7, "test/item_mean/auc": 0.6, "test/rows": 200}
    results = results_of("deepfm", metrics, outcomes)
    results.data = SimpleNamespace(schema=SimpleNamespace(label=SimpleNamespace(is_binary=True)))
    assert results.headline == "auc"
    assert not results.has_probabilities
    assert verdict(results, "auc").text == "above item_mean by 0.1000 in AUC, untested: single users have no AUC"
    assert slice_tables(results) == []
    assert bias_tables(results) == []
    assert calibration_plot(results) is None


def test_the_first_columns_of_a_ranker_are_the_usual_metrics_and_one_of_each_further_prediction():
    usual = ("gauc", "pr_auc", "auc", "log_loss", "normalised_entropy", "calibration_ratio", "prediction_bias")
    requests = [f"request_ndcg_at_{k}" for k in (5, 10, 20, 50)]
    tasks = ("like_auc", "like_log_loss", "seconds_rmse", "seconds_mae", "worst_prediction_bias_by_auc", "rows")
    results = results_of("deepfm", {f"test/{name}": 0.5 for name in (*requests, *usual, *tasks)}, {None: None})
    expected = ("log_loss", "auc", "gauc", "request_ndcg_at_10", "like_auc", "seconds_rmse", "pr_auc")
    assert main_metrics(results) == expected
    names = ["log loss ↓", "AUC", "GAUC", "request NDCG@10", "like AUC", "seconds RMSE ↓", "PR-AUC"]
    assert column_names(main_table(results)) == names
    assert beyond_accuracy(results)[1] == []


def test_no_model_is_the_best_by_a_bias():
    metrics = {"test/rmse": 1.0, "test/prediction_bias": 0.3, "test/mae": 0.8}
    others = {"test/item_mean/rmse": 1.1, "test/item_mean/prediction_bias": -0.01, "test/item_mean/mae": 0.7}
    table = main_table(results_of("deepfm", metrics | others, {None: None, "item_mean": None}))
    assert dict(zip(table.metrics, table.best, strict=True)) == {"rmse": 0, "mae": 1, "prediction_bias": None}


def test_the_best_baseline_has_the_highest_or_the_lowest_value():
    metrics = {"test/log_loss": 0.1, "test/ndcg_at_5": 0.9}
    for name, value in (("popularity", 0.3), ("ease", 0.5), ("item_knn", 0.4), ("broken", math.nan)):
        metrics |= {f"test/{name}/log_loss": value, f"test/{name}/ndcg_at_5": value}
    results = results_of("two_tower", metrics)
    assert results.best_baseline("test", "ndcg_at_5") == "ease"
    assert results.best_baseline("test", "log_loss") == "popularity"


def test_a_verdict_over_too_few_users_says_so():
    given = {name: values[:6] for name, values in events().items()}
    ours, theirs = ({**given, "user_index": np.full(6, user)} for user in (3, 4))
    outcomes = {None: EventOutcome(ours), "item_mean": EventOutcome(theirs)}
    metrics = {"test/log_loss": 0.5, "test/item_mean/log_loss": 0.6}
    assert verdict(results_of("deepfm", metrics, outcomes), "log_loss").text == (
        "above item_mean by 0.1000 in log loss, untested: fewer than two users have both"
    )
    kept = results_of("deepfm", metrics, outcomes | {"item_mean": None})
    assert verdict(kept, "log_loss").text.endswith("untested: the predictions of one of them were not kept")


def test_query_sets_show_the_plain_values_of_baselines_and_read_no_predictions_for_them(monkeypatch):
    read = []
    monkeypatch.setattr(JobResults, "_read_outcome", lambda self, *of: read.append(of))
    metrics = {}
    for place, of in enumerate(("test", "validation", "test_cold_users")):
        metrics |= {f"{of}/ndcg_at_10": 0.5 + place, f"{of}/users": 40, f"{of}/popularity/ndcg_at_10": 0.1 + place}
    metrics |= {"test/ndcg_at_10/low": 0.4, "test/ndcg_at_10/high": 0.6}
    rows = set_rows(results_of("two_tower", metrics))
    assert [row.name for row in rows] == ["test", "validation", "test, cold users"]
    assert [[cell.mean for cell in row.cells] for row in rows] == [[0.5, 0.1], [1.5, 1.1], [2.5, 2.1]]
    assert (rows[0].cells[0].low, rows[0].cells[0].high) == (0.4, 0.6)
    assert all(math.isnan(row.cells[1].low) and math.isnan(row.cells[1].high) for row in rows)
    assert read == [("validation", None), ("test_cold_users", None)]  # metrics.json has no interval of these


def test_predictions_of_the_test_set_alone_stay_in_memory(monkeypatch):
    read = []
    monkeypatch.setattr(JobResults, "_read_outcome", lambda self, *of: read.append(of) or of)
    results = results_of("two_tower", {})
    for _ in range(2):
        for of in (("test", None), ("test", "ease"), ("validation", None)):
            assert results.outcome(*of) == of
    assert read == [("test", None), ("test", "ease"), ("validation", None), ("validation", None)]


@pytest.mark.parametrize(
    ("metric", "task", "expected"),
    [
        ("ndcg_at_10", "retrieval", True),
        ("map_n_at_5", "retrieval", True),
        ("users", "retrieval", False),
        ("ndcg", "retrieval", False),
        ("coverage_at_10", "retrieval", False),
        ("ndcg_gap_by_country_at_10", "retrieval", False),
        ("log_loss", "retrieval", False),
        ("log_loss", "ranking", True),
        ("mae", "ranking", True),
        ("gauc", "ranking", False),
        ("spearman", "ranking", False),
    ],
)
def test_metrics_of_single_users_are_told_from_others(metric, task, expected):
    assert is_per_user(metric, task) is expected


@pytest.mark.parametrize("k", [1, 5, 200])
def test_every_metric_of_lists_has_a_value_of_each_user(k):
    outcome = ListOutcome(random_lists(0)[0])
    for base in ("hit_rate", "recall", "precision", "ndcg", "mrr", "map", "map_n"):
        assert is_per_user(f"{base}_at_{k}", "retrieval")
        assert len(outcome.per_user(f"{base}_at_{k}")) == USERS


def test_a_handful_of_users_has_a_mean_and_no_interval():
    few, enough = (estimate(per_user(np.arange(n) % 2), "recall_at_5") for n in (FEWEST_USERS - 1, FEWEST_USERS + 4))
    assert few.mean == 0.5
    assert math.isnan(few.low)
    assert enough.low < enough.mean < enough.high


def test_calibration_groups_have_the_means_of_their_events_and_wilsons_interval():
    rng = np.random.default_rng(3)
    predicted = rng.random(10 * BINS)
    labels = (rng.random(10 * BINS) < predicted).astype(float)
    x, y, low, high = reliability(predicted, labels, is_binary=True)
    pairs = sorted(zip(predicted.tolist(), labels.tolist(), strict=True))
    assert len(x) == BINS
    first = pairs[:10]
    assert x[0] == pytest.approx(sum(p for p, _ in first) / len(first))
    n, rate = len(first), sum(label for _, label in first) / len(first)
    assert y[0] == pytest.approx(rate)
    # Wilson's ends are where |rate − p| is z standard errors of p.
    for end in (low[0], high[0]):
        assert abs(rate - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / n), abs=1e-9)


def test_equal_predictions_are_one_point_of_the_calibration_whatever_the_order_of_the_log():
    predicted, labels = np.repeat([0.2, 0.6], 60), np.tile([0.0, 0.0, 1.0, 1.0], 30)
    for order in (slice(None), slice(None, None, -1), np.argsort(labels)):
        x, y, _, _ = reliability(predicted[order], labels[order], is_binary=True)
        assert x.tolist() == pytest.approx([0.2, 0.6])
        assert y.tolist() == [0.5, 0.5]


def test_exposure_counts_the_first_places_of_all_lists():
    lists, _ = random_lists(2)
    expected = [sum(item in row[:CUT] for row in lists.items.tolist()) for item in range(ITEMS)]
    assert exposure(ListOutcome(lists), ITEMS).tolist() == expected


def test_the_plane_is_that_of_the_covariances_two_largest_eigenvectors():
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(50, 8)) * np.arange(1, 9)
    plane, explained = principal_plane(vectors)
    unit = vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    centred = unit - unit.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred)
    expected = centred @ directions[:, ::-1][:, :2]
    assert np.abs(plane) == pytest.approx(np.abs(expected))
    assert explained == pytest.approx(values[::-1][:2].sum() / values.sum())
    again, _ = principal_plane(vectors)
    assert np.array_equal(plane, again)
    assert (plane[np.abs(plane).argmax(axis=0), [0, 1]] > 0).all()


def test_vectors_that_are_all_alike_are_one_point():
    plane, explained = principal_plane(np.ones((5, 3)))
    assert plane == pytest.approx(np.zeros((5, 2)))
    assert 0 <= explained <= 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (metric_name("ndcg_at_10"), "NDCG@10"),
        (metric_name("map_n_at_5"), "MAP/k@5"),
        (metric_name("log_loss"), "log loss"),
        (metric_name("watch_time_rmse"), "watch time RMSE"),
        (metric_name("request_ndcg_at_10"), "request NDCG@10"),
        (range_text(2.5, 15_024.4), "2.5 to below 15,024"),
        (range_text(None, 1000), "below 1,000"),
        (range_text(-2e6, None), "from -2,000,000"),
        (range_text(None, None), "any"),
        (set_name("test_window_3"), "test, window 3"),
        (set_name("test_cold_users"), "test, cold users"),
        (number(float("nan")), "–"),
        (number(0.12344), "0.1234"),
        (number(12345.6), "12,346"),
        (number(-0.00001), "0.0000"),
        (signed(-0.00001), "0.0000"),
        (signed(0.00001), "0.0000"),
        (signed(0.1234, 3), "+0.123"),
        (signed(-0.1234, 3), "-0.123"),
        (interval(0.1, float("nan")), ""),
        (interval(0.1, 0.2, 2), "[0.10, 0.20]"),
        (p_value(0.0004), "p < 0.001"),
        (p_value(0.0123), "p = 0.012"),
        (bytes_text(999), "999 bytes"),
        (bytes_text(1_234_567), "1.2 MB"),
        (seconds_text(60), "60.0 s"),
        (seconds_text(200), "3 min 20 s"),
        (seconds_text(7500), "2 h 5 min"),
    ],
)
def test_figures_are_written_for_people(written, expected):
    assert written == expected
