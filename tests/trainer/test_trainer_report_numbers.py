"""What a report's figures are made of, against plain loops."""

import math

import numpy as np
import pytest

from tfrec.metrics.lists import NO_ITEM, RankedLists
from trainer.report.calibration import BINS, reliability
from trainer.report.estimates import FEWEST_USERS, difference, estimate
from trainer.report.item_map import principal_plane
from trainer.report.names import bytes_text, interval, metric_name, number, p_value, seconds_text, set_name
from trainer.report.per_user import EventOutcome, ListOutcome, PerUser
from trainer.report.ranks import CUT, exposure

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


def test_a_handful_of_users_has_a_mean_and_no_interval():
    few, enough = (estimate(per_user(np.arange(n) % 2), "recall_at_5") for n in (FEWEST_USERS - 1, FEWEST_USERS + 4))
    assert few.mean == 0.5
    assert math.isnan(few.low)
    assert enough.low < enough.mean < enough.high


def test_calibration_groups_have_the_means_of_their_events_and_wilsons_interval():
    rng = np.random.default_rng(3)
    predicted = rng.random(101)
    labels = (rng.random(101) < predicted).astype(float)
    x, y, low, high = reliability(predicted, labels, is_binary=True)
    pairs = sorted(zip(predicted.tolist(), labels.tolist(), strict=True))
    assert len(x) == BINS
    first = pairs[: math.ceil(101 / BINS)]
    assert x[0] == pytest.approx(sum(p for p, _ in first) / len(first))
    n, rate = len(first), sum(label for _, label in first) / len(first)
    assert y[0] == pytest.approx(rate)
    # Wilson's ends are where |rate − p| is z standard errors of p.
    for end in (low[0], high[0]):
        assert abs(rate - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / n), abs=1e-9)


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
        (set_name("test_window_3"), "test, window 3"),
        (set_name("test_cold_users"), "test, cold users"),
        (number(float("nan")), "–"),
        (number(0.12344), "0.1234"),
        (number(12345.6), "12,346"),
        (number(-0.00001), "0.0000"),
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
