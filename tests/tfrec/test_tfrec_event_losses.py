"""Losses over events against the double loops of their definitions, their gradients, and groups in any order."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.dataset.group_batches import GROUP
from tfrec.errors import ConfigError
from tfrec.models.towers.event_losses import (
    EventLossConfig,
    event_loss,
    listwise_losses,
    pairwise_losses,
    pointwise_losses,
    require_loss,
)
from tfrec.models.towers.row_groups import RowGroups
from tfrec.schema import CategoricalFeature, Kept, Label, Random, Schema, Weight

ROWS = st.lists(
    st.tuples(
        st.floats(-4, 4, width=32),
        st.integers(0, 1),
        st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        st.sampled_from([7, 1 << 40, -3, 12]),
    ),
    min_size=1,
    max_size=14,
)
VALUES = ROWS.map(lambda rows: [(z, y * 2 + round(w), w, g) for z, y, w, g in rows])


def columns(rows):
    """Logits, labels and weights as float32, groups as int64."""
    logits, labels, weights, groups = zip(*rows, strict=True)
    return [tf.constant(np.float32(c)) for c in (logits, labels, weights)] + [tf.constant(groups, tf.int64)]


def softplus(z):
    return math.log1p(math.exp(-abs(z))) + max(z, 0.0)


def plain_pairs(rows):
    """Σ_g W_g · weighted mean over the pairs of g of softplus(worse − better)."""
    total = 0.0
    for group in {row[3] for row in rows}:
        mine = [row for row in rows if row[3] == group]
        pairs = [(a[2] * b[2], softplus(b[0] - a[0])) for a in mine for b in mine if a[1] > b[1]]
        weight = sum(w for w, _ in pairs)
        if weight > 0:
            total += sum(row[2] for row in mine) * sum(w * loss for w, loss in pairs) / weight
    return total


def plain_lists(rows, *, is_binary):
    total = 0.0
    for group in {row[3] for row in rows}:
        mine = [row for row in rows if row[3] == group]
        gains = [w * (y if is_binary else math.exp(y)) for _, y, w, _ in mine]
        if sum(gains) > 0:
            normaliser = math.log(sum(w * math.exp(z) for z, _, w, _ in mine))
            entropy = -sum(g / sum(gains) * (row[0] - normaliser) for g, row in zip(gains, mine, strict=True))
            total += sum(row[2] for row in mine) * entropy
    return total


@settings(max_examples=60, deadline=None)
@given(st.one_of(ROWS, VALUES))
def test_the_pairwise_loss_is_the_double_loop_over_the_rows_of_a_group(rows):
    assert float(tf.reduce_sum(pairwise_losses(*columns(rows)))) == pytest.approx(plain_pairs(rows), rel=1e-4, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.one_of(ROWS.map(lambda rows: (rows, True)), VALUES.map(lambda rows: (rows, False))))
def test_the_listwise_loss_is_the_cross_entropy_of_each_group(given):
    rows, is_binary = given
    found = float(tf.reduce_sum(listwise_losses(*columns(rows), is_binary=is_binary)))
    assert found == pytest.approx(plain_lists(rows, is_binary=is_binary), rel=1e-4, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.floats(0.25, 8, width=32))
def test_the_pointwise_loss_is_weighted_log_loss_with_heavier_positives(rows, positive_weight):
    logits, labels, weights, _ = columns(rows)
    expected = [w * (positive_weight if y else 1) * (softplus(z) - y * z) for z, y, w, _ in rows]
    found = pointwise_losses(logits, labels, weights, positive_weight, is_binary=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_of_a_value_is_its_weighted_squared_error():
    found = pointwise_losses(*(tf.constant(v) for v in ([1.5, 4.0], [3.0, 4.5], [2.0, 1.0])), is_binary=False)
    assert found.numpy().tolist() == [4.5, 0.25]


@settings(max_examples=25, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.floats(-3, 3, width=32))
def test_comparisons_ignore_the_order_of_rows_and_a_constant_of_each_group(rows, random, constant):
    shuffled = random.sample([(z + constant, y, w, g) for z, y, w, g in rows], len(rows))
    for loss in (pairwise_losses, lambda *given: listwise_losses(*given, is_binary=True)):
        one, other = (float(tf.reduce_sum(loss(*columns(some)))) for some in (rows, shuffled))
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.one_of(ROWS.map(lambda rows: (rows, True)), VALUES.map(lambda rows: (rows, False))))
def test_a_row_of_weight_3_is_three_rows_and_one_of_weight_0_none(given):
    rows, is_binary = given
    rows = [(z, y, round(2 * w), g) for z, y, w, g in rows]  # 0, 1, 2 or 6
    repeated = [(z, y, 1.0, g) for z, y, w, g in rows for _ in range(w)]
    for loss in (pairwise_losses, lambda *given: listwise_losses(*given, is_binary=is_binary)):
        one, other = (float(tf.reduce_sum(loss(*columns(some)))) if some else 0.0 for some in (rows, repeated))
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_gradients_are_those_of_finite_differences(loss):
    random = np.random.default_rng(1)
    rows = [(z, int(y), w, int(g)) for z, y, w, g in zip(
        random.normal(size=12), random.random(12) < 0.4, random.random(12) + 0.5, random.integers(0, 3, 12), strict=True
    )]  # fmt: skip
    logits, *others = columns(rows)

    def plain(given):
        moved = [(z, *row[1:]) for z, row in zip(given, rows, strict=True)]
        return plain_pairs(moved) if loss == "pairwise" else plain_lists(moved, is_binary=True)

    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = pairwise_losses(logits, *others) if loss == "pairwise" else listwise_losses(
            logits, *others, is_binary=True
        )  # fmt: skip
        total = tf.reduce_sum(losses)
    z, step = np.array([row[0] for row in rows]), 1e-5
    expected = [(plain(z + step * unit) - plain(z - step * unit)) / (2 * step) for unit in np.eye(len(z))]
    np.testing.assert_allclose(tf.convert_to_tensor(tape.gradient(total, logits)), expected, rtol=1e-3, atol=1e-4)


def test_logits_far_from_0_give_finite_losses():
    """Nor do those of rows of weight 0 decide about anything."""
    rows = [
        (500.0, 0, 1.0, 1),
        (-500.0, 1, 1.0, 1),
        (3e4, 0, 1.0, 2),
        (2.0, 1, 1.0, 2),
        (9e9, 1, 0.0, 2),
        (1.0, 1, 0.0, 3),
    ]
    logits, *others = columns(rows)
    for loss in (pairwise_losses, lambda *given: listwise_losses(*given, is_binary=True)):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = loss(logits, *others)
        assert np.isfinite(losses).all()
        gradient = tf.convert_to_tensor(tape.gradient(losses, logits)).numpy()
        assert np.isfinite(gradient).all()
        assert gradient[4:].tolist() == [0, 0]
        assert losses[0].numpy() == pytest.approx(1000)


def test_only_pairs_with_different_labels_are_made():
    """Of 400 rows of a user with two positives: 796 and not 160,000."""
    labels = np.zeros(400, np.float32)
    labels[[7, 300]] = 1
    better, worse = RowGroups.of(tf.constant([5] * 400, tf.int64)).pairs(tf.constant(labels))
    assert sorted(zip(better.numpy(), worse.numpy(), strict=True)) == [
        (b, w) for b in (7, 300) for w in range(400) if w not in (7, 300)
    ]


def schema(**more):
    ids = {
        "user": CategoricalFeature(kind="categorical", role="user", id=True),
        "item": CategoricalFeature(kind="categorical", role="item", id=True),
    }
    return Schema(**{"name": "x", "features": ids, "split": Random(strategy="random"), **more})


BINARY = Label(column="rating", threshold=4)


def test_the_loss_of_a_batch_is_the_mean_over_its_rows_and_reads_weights_where_the_log_has_them():
    rows = [(0.5, 1, 3.0, 1), (-1.0, 0, 0.5, 1), (2.0, 0, 1.0, 2), (0.0, 1, 1.0, 2)]
    logits, labels, weights, groups = columns(rows)
    inputs = {"label": labels, "weight": weights, GROUP: groups}
    weighted = schema(label=BINARY, weight=Weight(column="w"))
    for loss, expected in (
        ("pointwise", sum(w * (softplus(z) - y * z) for z, y, w, _ in rows)),
        ("pairwise", plain_pairs(rows)),
        ("listwise", plain_lists(rows, is_binary=True)),
    ):
        found = event_loss(EventLossConfig(loss=loss), weighted, inputs, logits)
        assert float(found) == pytest.approx(expected / 4, rel=1e-5)
        plain = event_loss(EventLossConfig(loss=loss), schema(label=BINARY), inputs, logits)
        assert float(plain) != pytest.approx(expected / 4, rel=1e-2)


@pytest.mark.parametrize(
    ("config", "more", "message"),
    [
        ({"positive_weight": 2}, {"label": Label(column="rating")}, r"positive_weight=2\.0: the label is a value"),
        ({"positive_weight": 2, "loss": "pairwise"}, {"label": BINARY}, r"positive_weight=2\.0: changes nothing of"),
        ({"calibration": "platt"}, {"label": Label(column="rating")}, "calibration=platt: makes probabilities true"),
        ({"loss_within": "request"}, {"label": BINARY}, "loss_within=request: the dataset has no request ids"),
    ],
)
def test_what_the_dataset_has_no_labels_or_groups_for_is_refused(config, more, message):
    with pytest.raises(ConfigError, match=message):
        require_loss(EventLossConfig(**config), schema(**more))
    require_loss(EventLossConfig(loss="pairwise", loss_within="request"), schema(request=Kept(column="r")))
