"""Importance of fields against plain loops."""

import math

import numpy as np
import pytest
import scipy.stats

from tfrec.metrics import auc
from tfrec.schema import CategoricalFeature, NumericFeature, Schema, SequenceFeature, WeightsFeature
from trainer.report.learnt import permutation
from trainer.report.learnt.permutation import auc_parts, of_roles, permutation_importance, shuffled_together

ONE_EACH = {name: (name,) for name in ("strong", "weak", "unread")}


def records(rows=60, seed=1, users=12):
    rng = np.random.default_rng(seed)
    found = {name: rng.normal(size=rows).astype(np.float32) for name in ONE_EACH}
    logits = 2 * found["strong"] + 0.5 * found["weak"]
    found["label"] = (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    found["user_index"] = rng.integers(0, users, rows)
    return found


def predict(rows):
    return 2 * rows["strong"] + 0.5 * rows["weak"]


def row_loss(metric, label, z):
    if metric == "log_loss":
        return math.log1p(math.exp(-abs(z))) + max(z, 0) - label * z
    return (label - z) ** 2 if metric == "rmse" else abs(label - z)


def switched(metric, given, field):
    """Change of the metric when row i has the field of row j, mean over all i and j."""
    n, losses, base = len(given["label"]), [], []
    for i in range(n):
        row = {name: float(values[i]) for name, values in given.items()}
        base.append(row_loss(metric, row["label"], predict(row)))
        for j in range(n):
            losses.append(row_loss(metric, row["label"], predict({**row, field: float(given[field][j])})))
    root = math.sqrt if metric == "rmse" else float
    return root(np.mean(losses)) - root(np.mean(base)), root(np.mean(base))


@pytest.mark.parametrize("metric", ["log_loss", "rmse", "mae"])
def test_shuffling_approaches_the_mean_over_all_pairs_of_rows(metric):
    given = records()
    found = permutation_importance(predict, given, ONE_EACH, metric, repeats=400)
    by_name = {one.name: one for one in found.fields}
    assert [one.name for one in found.fields] == ["strong", "weak", "unread"]
    for name in ("strong", "weak"):
        expected, base = switched(metric, given, name)
        assert found.baseline == pytest.approx(base)
        error = by_name[name].spread / math.sqrt(found.repeats)
        assert by_name[name].estimate.mean == pytest.approx(expected, abs=4 * error)
    assert by_name["unread"].estimate.mean == pytest.approx(0, abs=1e-12)
    assert by_name["unread"].spread == pytest.approx(0, abs=1e-12)


def test_fields_that_say_the_same_matter_together():
    given = records(rows=400)
    given["copy"] = given["strong"]
    found = permutation_importance(
        lambda rows: rows["strong"] + rows["copy"],
        given,
        {"strong": ("strong",), "copy": ("copy",)},
        "log_loss",
        of_group={"all of user": ("strong", "copy")},
    )
    together, *alone = found.fields
    assert together.name == "all of user"
    assert together.is_group
    assert not any(one.is_group for one in alone)
    assert together.estimate.mean > 1.5 * alone[0].estimate.mean


@pytest.mark.parametrize("metric", ["log_loss", "rmse"])
def test_the_interval_is_as_wide_as_that_of_users_drawn_again(metric):
    given = records(rows=600, users=80)
    found = permutation_importance(predict, given, ONE_EACH, metric, repeats=1)
    order = np.random.default_rng(permutation.SEED)
    order.choice(np.arange(600), 600, replace=False)
    shuffled = {**given, "strong": given["strong"][order.permutation(600)]}
    rows = [
        np.array([row_loss(metric, y, z) for y, z in zip(given["label"], predict(of), strict=True)])
        for of in (given, shuffled)
    ]
    sums = np.array([[part[given["user_index"] == user].sum() for user in range(80)] for part in rows])
    counts = np.array([(given["user_index"] == user).sum() for user in range(80)])
    drawn, rng = [], np.random.default_rng(5)
    root = np.sqrt if metric == "rmse" else np.asarray
    for _ in range(2000):
        users = rng.integers(0, 80, 80)
        before, after = sums[:, users].sum(axis=1) / counts[users].sum()
        drawn.append(root(after) - root(before))
    low, high = np.quantile(drawn, [0.025, 0.975])
    strong = next(one for one in found.fields if one.name == "strong")
    assert strong.estimate.mean == pytest.approx(root(rows[1].mean()) - root(rows[0].mean()))
    assert strong.estimate.low == pytest.approx(low, abs=0.2 * (high - low))
    assert strong.estimate.high == pytest.approx(high, abs=0.2 * (high - low))
    assert strong.estimate.users == len(np.unique(given["user_index"]))


def auc_of_pairs(labels, scores, weights):
    won = total = 0.0
    for y, z, w in zip(labels, scores, weights, strict=True):
        for other, at, v in zip(labels, scores, weights, strict=True):
            if y > other:
                won += w * v * ((z > at) + 0.5 * (z == at))
                total += w * v
    return won / total


def test_a_model_without_probabilities_loses_auc():
    given = records() | {"weight": np.random.default_rng(7).integers(0, 3, 60).astype(np.float32)}
    rounded = {**given, "strong": np.round(given["strong"])}  # ties
    found = permutation_importance(lambda rows: rows["strong"], rounded, {"strong": ("strong",)}, "auc", repeats=300)
    assert found.baseline == pytest.approx(auc_of_pairs(given["label"], rounded["strong"], given["weight"]))
    [strong] = found.fields
    assert found.baseline - strong.estimate.mean == pytest.approx(0.5, abs=4 * strong.spread / math.sqrt(300))
    one_class = {**rounded, "label": np.ones(60, np.float32)}
    assert permutation_importance(lambda rows: rows["strong"], one_class, {"strong": ("strong",)}, "auc") is None


def test_a_model_that_only_orders_values_loses_rank_correlation():
    given = records() | {"weight": np.zeros(60, np.float32)}  # which Spearman's ρ does not ask for
    given["label"] = np.round(given["strong"] + given["weak"], 0)  # ties
    found = permutation_importance(predict, given, {"strong": ("strong",)}, "spearman", repeats=300)
    assert found.rows == 60
    assert found.baseline == pytest.approx(scipy.stats.spearmanr(given["label"], predict(given)).statistic)
    [strong] = found.fields
    left = scipy.stats.spearmanr(given["label"], given["weak"]).statistic
    assert 0 < found.baseline - strong.estimate.mean < left
    assert math.isnan(strong.estimate.low)
    assert permutation_importance(lambda rows: rows["strong"] * 0, given, {"strong": ("strong",)}, "spearman") is None


def test_parts_of_auc_spread_over_users_as_auc_does_when_users_are_drawn_again():
    given = records(rows=600, users=80)
    weights = np.ones(600)
    parts = auc_parts(given["label"], predict(given), weights)
    assert parts.mean() == pytest.approx(1 - auc_of_pairs(given["label"], predict(given), weights))
    of_user = [np.flatnonzero(given["user_index"] == user) for user in range(80)]
    rng, drawn, linear = np.random.default_rng(5), [], []
    for _ in range(400):
        rows = np.concatenate([of_user[user] for user in rng.integers(0, 80, 80)])
        drawn.append(auc(given["label"][rows], predict(given)[rows]))
        linear.append(parts[rows].mean())
    assert np.std(linear) == pytest.approx(np.std(drawn), rel=0.05)
    assert np.corrcoef(linear, drawn)[0, 1] < -0.98


def test_the_same_rows_give_the_same_figures_and_time_ends_after_a_whole_repeat():
    given = records()
    first, again = (permutation_importance(predict, given, ONE_EACH, "mae") for _ in range(2))
    assert first == again
    assert first.repeats == permutation.REPEATS
    hurried = permutation_importance(predict, given, ONE_EACH, "mae", seconds=0)
    assert hurried.repeats == 1
    assert all(math.isnan(one.spread) for one in hurried.fields)


def test_many_fields_take_fewer_rows(monkeypatch):
    asked = []
    monkeypatch.setattr(permutation, "MOST_SCORED", 3 * 5 * 20)
    given = records()
    found = permutation_importance(
        lambda rows: asked.append(len(rows["label"])) or predict(rows), given, ONE_EACH, "mae"
    )
    assert found.rows == 20
    assert sum(asked) == 20 + permutation.MOST_SCORED
    assert permutation_importance(predict, given, ONE_EACH, "mae", most_rows=7).rows == 7


def test_rows_count_by_their_weight_and_those_without_are_not_asked():
    given = records()
    given["weight"] = np.random.default_rng(2).integers(0, 4, 60).astype(np.float32)
    found = permutation_importance(predict, given, ONE_EACH, "mae", repeats=1)
    repeated = [
        row_loss("mae", y, z)
        for y, z, w in zip(given["label"], predict(given), given["weight"], strict=True)
        for _ in range(int(w))
    ]
    assert found.baseline == pytest.approx(np.mean(repeated))
    assert found.rows == (given["weight"] > 0).sum()


def test_nothing_is_said_of_no_rows_or_no_fields():
    empty = {name: values[:0] for name, values in records().items()}
    assert permutation_importance(predict, empty, ONE_EACH, "mae") is None
    assert permutation_importance(predict, records(), {}, "mae") is None


@pytest.fixture(scope="module")
def schema():
    return Schema(
        name="x",
        split={"strategy": "random"},
        label={"column": "stars"},
        features={
            "user_id": CategoricalFeature(role="user", id=True),
            "tags": CategoricalFeature(role="user", list=True),
            "tag_weights": WeightsFeature(role="user", of="tags", list=True),
            "past": SequenceFeature(role="user", length=5),
            "past_labels": SequenceFeature(role="user", length=5, of="label"),
            "longer": SequenceFeature(role="user", length=9),
            "item_id": CategoricalFeature(role="item", id=True),
            "price": NumericFeature(role="item"),
            "price_bucket": NumericFeature(role="item", column="price", buckets=4),
            "price_then": NumericFeature(role="context", column="price"),
            "hour": CategoricalFeature(role="context"),
        },
    )


def test_what_belongs_together_is_shuffled_as_one(schema):
    fields = list(schema.features)
    found = shuffled_together(schema, fields)
    assert found["tags"] == ("tags", "tag_weights")
    assert found["past"] == ("past", "past_labels")
    assert found["price"] == ("price", "price_bucket")  # two forms of one column
    assert found["price_then"] == ("price_then",)  # a column of another file
    assert sorted(name for own in found.values() for name in own) == sorted(fields)
    assert not {"tag_weights", "past_labels", "price_bucket"} & set(found)
    assert shuffled_together(schema, ["past_labels", "price"]) == {"past_labels": ("past_labels",), "price": ("price",)}


def test_all_fields_of_a_role_are_asked_for_where_there_are_several(schema):
    assert of_roles(schema, ["user_id", "tags", "item_id", "hour"]) == {"all of user": ("user_id", "tags")}
    assert of_roles(schema, ["item_id", "price"]) == {}
