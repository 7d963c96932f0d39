"""Prediction bias, weights of events and slices of events against plain loops."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from tests.trainer.planted_world import read_csv
from tfrec.dataset.directory import DatasetDirectory
from trainer.data import JobData
from trainer.report.bias import bias_row
from trainer.report.calibration import reliability
from trainer.report.estimates import FEWEST_USERS, estimate
from trainer.report.learnt.spelling import MISSING, UNKNOWN, Spelling
from trainer.report.per_user import EventOutcome
from trainer.report.slices import event_slice_groups
from trainer.report.tables import Scale

USERS = 60


def events(rows=900, seed=3):
    rng = np.random.default_rng(seed)
    users = rng.integers(0, USERS, rows)
    logits = rng.normal(size=rows) + users / USERS
    return {
        "user_index": users,
        "item_index": rng.integers(0, 30, rows),
        "label": (rng.random(rows) < 0.4).astype(np.float32),
        "prediction": logits.astype(np.float32),
    }


def repeated(given):
    """Each event as often as its weight says."""
    rows = np.repeat(np.arange(len(given["label"])), given["weight"].astype(int))
    return {name: values[rows] for name, values in given.items() if name != "weight"}


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


@pytest.mark.parametrize("is_binary", [True, False])
def test_bias_is_what_is_predicted_beside_what_happened(is_binary):
    given = events()
    chosen = given["item_index"] < 10
    predicted = [(sigmoid if is_binary else float)(z) for z in given["prediction"][chosen].tolist()]
    labels = given["label"][chosen].tolist()
    p, y = sum(predicted) / len(predicted), sum(labels) / len(labels)
    row = bias_row("few items", EventOutcome(given).of(chosen), is_binary)
    assert (row.predicted, row.observed, row.events) == (pytest.approx(p), pytest.approx(y), chosen.sum())
    assert row.bias.mean == pytest.approx(p / y if is_binary else p - y)
    assert row.bias.users == len(np.unique(given["user_index"][chosen]))


@pytest.mark.parametrize("is_binary", [True, False])
def test_the_interval_of_bias_is_that_of_users_drawn_again(is_binary):
    given = events()
    found = bias_row("all", EventOutcome(given), is_binary).bias
    values = np.array([(sigmoid if is_binary else float)(z) for z in given["prediction"]])
    parts = [[part[given["user_index"] == user].sum() for user in range(USERS)] for part in (values, given["label"])]
    counts = np.bincount(given["user_index"], minlength=USERS)
    sums, rng, drawn = np.array(parts), np.random.default_rng(8), []
    for _ in range(3000):
        users = rng.integers(0, USERS, USERS)
        p, y = sums[:, users].sum(axis=1)
        drawn.append(p / y if is_binary else (p - y) / counts[users].sum())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.15 * (high - low))
    assert found.high == pytest.approx(high, abs=0.15 * (high - low))


def test_a_slice_is_off_where_its_interval_leaves_out_the_unbiased_value():
    given = events()
    rate = float(given["label"].mean())
    right = np.full(900, math.log(rate / (1 - rate)), np.float32)
    assert not bias_row("right", EventOutcome({**given, "prediction": right}), True).is_off
    assert bias_row("too much", EventOutcome({**given, "prediction": right + 1}), True).is_off
    assert bias_row("too little", EventOutcome({**given, "prediction": right - 1}), True).is_off
    value = bias_row("values", EventOutcome({**given, "prediction": given["label"] + 0.1}), False)
    assert value.is_off
    assert value.unbiased == 0


def test_bias_has_no_interval_of_a_handful_of_users_and_no_ratio_without_positives():
    given = events()
    few = bias_row("few", EventOutcome(given).of(given["user_index"] < FEWEST_USERS - 1), True)
    assert math.isfinite(few.bias.mean)
    assert math.isnan(few.bias.low)
    assert not few.is_off
    none = bias_row("none", EventOutcome(given).of(given["label"] == 0), True)
    assert math.isnan(none.bias.mean)
    assert (none.observed, none.is_off) == (0, False)
    assert bias_row("nobody", EventOutcome(given).of(np.zeros(900, bool)), True).events == 0


@pytest.mark.parametrize("metric", ["log_loss", "rmse", "mae"])
def test_an_event_of_weight_n_counts_as_n_events(metric):
    given = events() | {"weight": np.random.default_rng(1).integers(0, 4, 900).astype(np.float32)}
    weighted, plain = EventOutcome(given), EventOutcome(repeated(given))
    one, other = weighted.per_user(metric), plain.per_user(metric)
    np.testing.assert_array_equal(one.users, other.users)
    np.testing.assert_allclose(one.values, other.values)
    np.testing.assert_allclose(one.weights, other.weights)
    assert estimate(one, metric).mean == pytest.approx(estimate(other, metric).mean)
    for is_binary in (True, False):
        found, expected = bias_row("x", weighted, is_binary), bias_row("x", plain, is_binary)
        assert found.bias.mean == pytest.approx(expected.bias.mean)
        assert (found.bias.low, found.bias.high) == pytest.approx((expected.bias.low, expected.bias.high))


def test_calibration_groups_weigh_their_events():
    predicted, labels = np.array([0.1, 0.2, 0.3]), np.array([0.0, 1.0, 1.0])
    weights = np.array([1.0, 0.0, 3.0])
    x, y, low, high = reliability(predicted, labels, True, weights)
    assert x.tolist() == [0.1, 0.3]  # the event without weight is in no group
    assert y.tolist() == [0, 1]
    assert (low <= y).all()
    assert (y <= high).all()
    same = reliability(predicted, labels, False, np.full(3, 7.0))
    for found, expected in zip(same, reliability(predicted, labels, False), strict=True):
        np.testing.assert_allclose(found, expected)


def test_what_lies_outside_a_scale_is_drawn_at_its_end():
    assert [Scale(1.0, 3.0).at(value) for value in (0.0, 1.0, 2.0, 9.0)] == [2, 2, 50, 98]


@pytest.fixture(scope="module")
def with_context(world):
    """The planted log with the stars of an event among the features."""
    stars = "features.stars={role: context, kind: categorical, column: rating}"
    return JobData(DatasetDirectory(world.dataset("with_stars", stars)))


def test_slices_of_events_hold_those_with_the_value(world, with_context):
    [group] = event_slice_groups(with_context, "test")
    assert (group.title, group.side) == ("context: stars", "event")
    last = {}
    for row in read_csv(world.logs / "events.csv"):
        last.setdefault(row["user_id"], []).append(row)
    counts = {}
    for rows in last.values():
        if len(rows) >= 3:
            stars = sorted(rows, key=lambda row: int(row["timestamp"]))[-1]["rating"]
            counts[stars] = counts.get(stars, 0) + 1
    assert {one.label: int(one.members.sum()) for one in group.slices} == counts
    assert event_slice_groups(world.data(), "test") == []


def test_ids_are_spelt_as_the_log_has_them(world):
    data = world.data()
    users, raw = data.split("test"), {row["user_id"]: row for row in read_csv(world.logs / "users.csv")}
    names = [one.decode() for one in data.user_ids]
    country, age, hashed = (Spelling(data.dataset, name) for name in ("country", "age", "country_hash"))
    for row in range(50):
        of = raw[names[users["user_index"][row]]]
        assert country(int(users["country"][row])) == (of["country"] or MISSING)
        words = age(int(users["age"][row]))
        if not of["age"]:
            assert words == MISSING
            continue
        parts = words.replace("from ", "").split(" to below ")
        low, high = (-math.inf, parts[0].removeprefix("below ")) if "below" in words else (parts[0], math.inf)
        if " to below " in words:
            low, high = parts
        assert float(low) <= float(of["age"]) < float(high)
    assert country(1) == UNKNOWN
    assert hashed(7) == "bucket 7"
    assert hashed.tokens.to_pylist() == []
    assert [country(int(one)) for one in country.token_ids] == [one.decode() for one in country.tokens.to_pylist()]


def test_a_bucketed_number_with_one_value_is_spelt(world):
    boundless = SimpleNamespace(
        schema=world.data().schema, statistics={"features": {"age": {"encoding": {"boundaries": []}}}}
    )
    assert Spelling(boundless, "age")(1) == "any"
