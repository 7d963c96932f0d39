"""Neural collaborative filtering against plain loops: loss, gradients, scores of the catalogue; and the contract."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import FIRST_ID, inputs_of, request
from tfrec.models.factors import tables
from tfrec.models.ncf import catalogue_scores as blocks
from tfrec.models.ncf.catalogue_scores import catalogue_scores
from tfrec.models.ncf.pair_rows import pair_rows
from tfrec.models.ncf.pair_tower import PairTower, tower_widths
from tfrec.models.registry import model_class

OF_PAIRS = {
    "embedding_stddev": 0.5,
    "l2": 0.25,
    "negatives_per_row": 3,
    "negative_alpha": 0.25,
    "mask_known_positives": False,
}
OF_TOWERS = {**OF_PAIRS, "layers": 2, "dropout": 0.25}
QUICK = ("train.batch_size=512", "train.epochs=15", "train.learning_rate=0.02", "evaluation.auc=false")


class Contract(PersonalContract):
    favourite_genre_share, favourite_genre_gain = 0.3, 2.0

    def test_the_stated_table_shapes_are_those_of_the_tables(self, trained):
        model, data, config = trained
        stated = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        names = {variable.name.partition(":")[0]: tuple(variable.shape) for variable in model.variables}
        assert {shape.name: (shape.rows, shape.dim) for shape in stated} == {s.name: names[s.name] for s in stated}
        rows = {table.variable.shape[0] for table in model.id_tables()}
        assert rows == {data.model_inputs.num_ids["user_id"], data.model_inputs.num_ids["item_id"]}


class TestGMF(Contract):
    model = "gmf"
    overrides = (*QUICK, "model.embedding_dim=16")
    non_default = {**OF_PAIRS, "embedding_dim": 7}
    signatures = PersonalContract.signatures | {"user_embedding", "item_embedding"}


class TestNcfMlp(Contract):
    model = "ncf_mlp"
    overrides = (*QUICK, "train.learning_rate=0.03", "model.embedding_dim=16", "model.layers=2")
    non_default = {**OF_TOWERS, "embedding_dim": 7}


class TestNeuMF(Contract):
    model = "neumf"
    overrides = (*QUICK, "model.gmf_dim=16", "model.mlp_dim=16", "model.dropout=0.1")
    non_default = {**OF_TOWERS, "gmf_dim": 7, "mlp_dim": 9, "alpha": 0.25}


# --- Equations ---

TAKEN = [[0, 1, 2, 0], [3], [1, 4, 5, 2, 6], [], [6, 0]]
NUM_ITEMS = 8  # nobody took item 7
DIMS = {"gmf": {"embedding_dim": 5}, "ncf_mlp": {"embedding_dim": 6}, "neumf": {"gmf_dim": 5, "mlp_dim": 6}}
ALL = list(DIMS)


def built(name, inputs, seed=3, **config):
    """A model none of whose weights is 0 or 1."""
    found = model_class(name)
    model = found(found.Config(**DIMS[name], **config), inputs, seed=seed)
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.3, variable.shape).astype(np.float32))
    model.refresh()
    return model


def logit_by_hand(model, user, item):
    """Equations 9, 10 and 12 for one pair of ids, in double precision."""
    total = 0.0
    if hasattr(model, "_gmf"):
        part = model._gmf
        p, q = (table.variable.numpy()[row].astype(float) for table, row in ((part.users, user), (part.items, item)))
        total += sum(float(h) * x * y for h, x, y in zip(part.output.numpy(), p, q, strict=True))
        total += float(part.output_bias)
    if hasattr(model, "_mlp"):
        part, tower = model._mlp, model._mlp.tower
        z = np.concatenate([part.users.variable.numpy()[user], part.items.variable.numpy()[item]]).astype(float)
        first = np.concatenate([tower.user_kernel.numpy(), tower.item_kernel.numpy()])
        kernels, biases = [first, *(k.numpy() for k in tower.kernels)], [tower.first_bias, *tower.biases]
        for kernel, bias in zip(kernels, biases, strict=True):
            z = np.array([max(0.0, sum(z * kernel[:, j]) + float(bias[j])) for j in range(kernel.shape[1])])
        total += sum(z * tower.output.numpy()[:, 0]) + float(tower.output_bias)
    return total


def batch_of(inputs, seed=0):
    """All training events, shuffled."""
    order = np.random.default_rng(seed).permutation(inputs.train.num_events)
    users, items = inputs.train.users[order], inputs.train.items[order]
    return {name: tf.constant(c) for name, c in
            (("user_id", users + FIRST_ID), ("user_index", users), ("item_index", items))}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("whole_rows", [0, 1 << 14])  # distinct rows of the batch, and whole tables
def test_the_loss_is_equation_7_over_pairs_that_nobody_took(monkeypatch, name, whole_rows):
    monkeypatch.setattr(tables, "WHOLE_ROWS", whole_rows)
    inputs = inputs_of(TAKEN, NUM_ITEMS)
    model, batch = built(name, inputs), batch_of(inputs)
    order = np.argsort(batch["user_id"].numpy(), kind="stable")
    users, items = batch["user_index"].numpy()[order], batch["item_index"].numpy()[order]
    drawn = model._sampler.draw(tf.constant(users), tf.constant(items), 4, model.draw_seed(1))
    losses = []
    for row, (u, i) in enumerate(zip(users, items, strict=True)):
        negatives = [j for j, ok in zip(drawn.items.numpy()[row], drawn.is_negative.numpy()[row], strict=True) if ok]
        assert not set(negatives) & set(TAKEN[u])
        loss = math.log1p(math.exp(-logit_by_hand(model, u + FIRST_ID, i + FIRST_ID)))
        loss += sum(math.log1p(math.exp(logit_by_hand(model, u + FIRST_ID, j + FIRST_ID))) for j in negatives)
        losses.append(loss / 5)
    assert float(model.compute_loss(batch)) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_gradients_are_those_of_small_steps(monkeypatch, name):
    monkeypatch.setattr(tables, "WHOLE_ROWS", 0)  # where the penalty too is that of the batch
    inputs = inputs_of(TAKEN, NUM_ITEMS)
    model, batch = built(name, inputs, l2=0.1), batch_of(inputs)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch)
    rng, step = np.random.default_rng(1), 1e-2
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        direction = rng.normal(size=variable.shape).astype(np.float32)
        direction /= max(np.linalg.norm(direction), 1e-9)
        before, along = variable.numpy(), []
        for sign in (1, -1):
            variable.assign(before + sign * step * direction)
            along.append(float(model.compute_loss(batch)))
        variable.assign(before)
        expected = (along[0] - along[1]) / (2 * step)
        found = np.sum(tf.convert_to_tensor(gradient).numpy() * direction)
        assert found == pytest.approx(expected, rel=0.02, abs=2e-4), variable.name


@pytest.mark.parametrize("name", ALL)
def test_negatives_are_drawn_anew_in_every_step(name):
    inputs = inputs_of([[user] for user in range(3)], 500)
    model = built(name, inputs)
    model.compile(optimizer=tf.keras.optimizers.SGD(0.0))
    losses = []
    for _ in range(3):
        losses.append(float(model.compute_loss(batch_of(inputs))))
        model.optimizer.iterations.assign_add(1)
    assert len(set(losses)) == 3


@pytest.mark.parametrize("name", ALL)
def test_events_weigh_what_the_dataset_says(name):
    inputs = inputs_of([[user] for user in range(4)], 5)
    model, batch = built(name, inputs), batch_of(inputs)
    # A row of weight 3 counts as three rows, one of weight 0 as none.
    alone = [float(model.compute_loss({**batch, "weight": tf.one_hot(row, 4)})) for row in range(4)]
    found = float(model.compute_loss({**batch, "weight": tf.constant([1.0, 0.0, 3.0, 0.0])}))
    assert len(set(alone)) == 4
    assert found == pytest.approx((alone[0] + 3 * alone[2]) / 4, rel=1e-5)


# --- Answers ---


@pytest.mark.parametrize("name", ALL)
def test_scores_of_known_users_are_the_logits_of_the_equations(name):
    model = built(name, inputs_of(TAKEN, NUM_ITEMS))
    found = model.scores(request(range(5))).numpy()
    expected = [[logit_by_hand(model, u + FIRST_ID, i + FIRST_ID) for i in range(7)] for u in range(5)]
    np.testing.assert_allclose(found[:, :7], expected, rtol=1e-4, atol=1e-5)
    assert (found[:, 7] <= found[:, :7].min(axis=1)).all()  # what nobody took


@pytest.mark.parametrize("name", ALL)
def test_unknown_users_get_what_most_took(name):
    inputs = inputs_of(TAKEN, NUM_ITEMS)
    scores = built(name, inputs).scores(request([None])).numpy()[0]
    counts = inputs.train.item_counts()
    for one in range(7):
        for other in range(7):
            assert (scores[one] > scores[other]) == (counts[one] > counts[other])
    assert scores[7] == scores.min()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5), st.integers(1, 9), st.integers(1, 4), st.integers(1, 60))
def test_the_catalogue_is_scored_in_blocks_of_bounded_size(batch, items, width, bound):
    rng = np.random.default_rng(batch * items + width)
    users, catalogue = (rng.normal(size=(rows, width)).astype(np.float32) for rows in (batch, items))
    sizes = []

    def score(sums):
        sizes.append(int(tf.size(sums)))
        return tf.reduce_sum(tf.sin(sums), axis=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "NUMBERS_AT_ONCE", bound)
        found = catalogue_scores(tf.constant(users), tf.constant(catalogue), score).numpy()
    expected = [[sum(np.sin(users[u] + catalogue[i])) for i in range(items)] for u in range(batch)]
    np.testing.assert_allclose(found, np.reshape(expected, [batch, items]), rtol=1e-4, atol=1e-5)
    assert max(sizes) <= max(bound, width)


def test_the_gradients_of_sums_of_rows_are_the_loops():
    rng = np.random.default_rng(4)
    users, items = (tf.Variable(rng.normal(size=(rows, 40)).astype(np.float32)) for rows in (4, 6))
    user_rows, item_rows = np.array([0, 0, 2, 3, 3]), rng.integers(0, 6, [5, 3])
    upstream = rng.normal(size=(5, 3, 40)).astype(np.float32)
    with tf.GradientTape() as tape:
        sums = pair_rows(users, items, tf.constant(user_rows), tf.constant(item_rows))
        total = tf.reduce_sum(sums * upstream)
    expected = np.zeros([4, 40]), np.zeros([6, 40])
    for row in range(5):
        for place in range(3):
            np.testing.assert_allclose(sums[row, place], users[user_rows[row]] + items[item_rows[row, place]])
            expected[0][user_rows[row]] += upstream[row, place]
            expected[1][item_rows[row, place]] += upstream[row, place]
    for found, by_loops in zip(tape.gradient(total, [users, items]), expected, strict=True):
        np.testing.assert_allclose(found, by_loops, rtol=1e-5, atol=1e-5)


def test_each_layer_is_half_as_wide_as_what_it_reads():
    assert tower_widths(32, 3) == (32, 16, 8)
    assert tower_widths(3, 4) == (3, 1, 1, 1)
    tower = PairTower(8, 3, dropout=0.0, seed=1, name="tower")
    shapes = [tuple(variable.shape) for variable in (tower.user_kernel, tower.item_kernel, *tower.kernels)]
    assert shapes == [(8, 8), (8, 8), (8, 4), (4, 2)]
    assert tuple(tower.output.shape) == (2, 1)


def test_dropout_drops_while_training_alone():
    inputs = inputs_of(TAKEN, NUM_ITEMS)
    dropped, plain = (built("ncf_mlp", inputs, dropout=rate) for rate in (0.5, 0.0))
    batch = batch_of(inputs)
    assert float(dropped.compute_loss(batch)) == pytest.approx(float(plain.compute_loss(batch)), rel=1e-6)
    assert float(dropped.compute_loss(batch, training=True)) != float(plain.compute_loss(batch, training=True))
