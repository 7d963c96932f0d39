"""Matrix factorisation against plain loops: each loss, ratings, history, both directions."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import FIRST_ID, UNKNOWN, inputs_of, request
from tfrec.errors import ConfigError
from tfrec.losses import chunked_softmax
from tfrec.models.factors import tables
from tfrec.models.factors.fold_in import FoldIn
from tfrec.models.matrix_factorization import MatrixFactorization, MatrixFactorizationConfig
from tfrec.schema import Schema

NON_DEFAULT = {
    "loss": "gbce",
    "embedding_dim": 7,
    "biases": False,
    "embedding_stddev": 0.5,
    "l2": 0.25,
    "bias_l2": 0.5,
    "implicit_history": True,
    "history_l2": 0.125,
    "fold_in": False,
    "negatives_per_row": 3,
    "negative_alpha": 0.25,
    "margin": 0.25,
    "positive_weight": 2.5,
    "calibration": 0.5,
    "mask_known_positives": False,
    "negatives": {"kind": "hard", "n": 33, "alpha": 0.5, "pool": 3},
    "memory_rows": 99,
    "clip": False,
    "reciprocal": True,
}
QUICK = ("train.batch_size=512", "train.epochs=15", "train.learning_rate=0.02", "model.embedding_dim=16")
SIGNATURES = PersonalContract.signatures | {"user_embedding", "item_embedding"}


class Contract(PersonalContract):
    model = "matrix_factorization"
    non_default = NON_DEFAULT
    signatures = SIGNATURES
    favourite_genre_share, favourite_genre_gain = 0.3, 2.0


class TestBPR(Contract):
    overrides = QUICK


class TestSoftmaxWithMemoryAndHistory(Contract):
    overrides = (*QUICK, "model.loss=softmax", "model.memory_rows=1000", "model.implicit_history=true")


# --- The losses of the model ---

TAKEN = [[0, 1, 2, 0], [3], [1, 4, 5, 2, 6], [], [6, 0]]
NUM_ITEMS = 8  # nobody took item 7


def rated_inputs(taken=TAKEN, history=None, ratings=None):
    """Inputs whose label is a rating; by default (3 · user + item) modulo 5."""
    inputs = inputs_of(taken, NUM_ITEMS, history)
    schema = Schema.model_validate({**inputs.schema.model_dump(exclude_unset=True), "label": {"column": "rating"}})
    if ratings is None:
        ratings = [(3 * user + item) % 5 for user, row in enumerate(taken) for item in row]
    train = replace(inputs.train, labels=np.array(ratings, np.float32))
    return replace(inputs, schema=schema, train=train)


def with_ids_for(inputs, kept):
    """The same inputs, in which only the first `kept` users have an id of their own: the vocabulary is short."""
    return replace(inputs, num_ids={**inputs.num_ids, "user_id": FIRST_ID + kept})


def batch_of(inputs, seed=0):
    """All training events, shuffled."""
    order = np.random.default_rng(seed).permutation(inputs.train.num_events)
    users = inputs.train.users[order]
    ids = np.where(users + FIRST_ID < inputs.num_ids["user_id"], users + FIRST_ID, UNKNOWN)
    columns = {"user_id": ids, "user_index": users, "item_index": inputs.train.items[order]}
    if inputs.train.labels is not None:
        columns["label"] = inputs.train.labels[order]
    return {name: tf.constant(values) for name, values in columns.items()}


def built(inputs, seed=3, **config):
    config = {"embedding_dim": 4, "l2": 0.0, "bias_l2": 0.0, "history_l2": 0.0, **config}
    model = MatrixFactorization(MatrixFactorizationConfig(**config), inputs, seed=seed)
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:  # biases begin at 0: give them values too
        variable.assign(variable + rng.normal(0, 0.3, variable.shape).astype(np.float32))
    model.refresh()
    return model


def vectors_of(model, taken, dim, *, without=None):
    """p_u + |N|^-1/2 Σ y_j by loops; `without`: an item that is left out. Users without an id are the unknown."""
    table = model._users.table.variable.numpy()[:, :dim].astype(np.float64)
    is_known = np.arange(len(taken)) + FIRST_ID < len(table)
    users = np.array([table[FIRST_ID + user if known else UNKNOWN] for user, known in enumerate(is_known)])
    if model._users.history is not None:
        y = model._users.history.table.variable.numpy()[FIRST_ID:].astype(np.float64)
        for user in np.flatnonzero(is_known):
            items = sorted(set(taken[user]) - {without})
            users[user] = users[user] + sum(y[j] for j in items) / math.sqrt(max(len(items), 1))
    return users


@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("whole_rows", [0, 1 << 14])  # distinct rows of the batch, and whole tables
def test_the_loss_of_ratings_is_koren_s(monkeypatch, history, biases, whole_rows):
    monkeypatch.setattr(tables, "WHOLE_ROWS", whole_rows)
    inputs = rated_inputs()
    model = built(inputs, biases=biases, implicit_history=history, l2=0.1, bias_l2=0.3, history_l2=0.7)
    batch = batch_of(inputs)
    users, items = model._users.table.variable.numpy()[FIRST_ID:], model._items.variable.numpy()[FIRST_ID:]
    p, q = vectors_of(model, TAKEN, 4), items[:, :4]
    mean, total = inputs.train.labels.mean(), 0.0
    for u, i, r in zip(batch["user_index"].numpy(), batch["item_index"].numpy(), batch["label"].numpy(), strict=True):
        predicted = mean + p[u] @ q[i] + (users[u, 4] + items[i, 4] if biases else 0)
        penalty = 0.1 * ((users[u, :4] ** 2).sum() + (q[i] ** 2).sum())
        penalty += 0.3 * (users[u, 4] ** 2 + items[i, 4] ** 2) if biases else 0
        total += (r - predicted) ** 2 + penalty
    expected = total / len(batch["label"])
    if history:
        y = model._users.history.table.variable.numpy()[FIRST_ID:]
        of_history = [np.mean([(y[i] ** 2).sum() for i in set(TAKEN[u])]) for u in batch["user_index"].numpy()]
        expected += 0.7 * np.mean(of_history)
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-4)


IMPLICIT = ("squared", "logistic", "bpr", "warp", "hinge", "gbce")


def implicit_by_hand(name, own, others, config):
    """Loss of one row, of its score and those of its drawn negatives."""
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    n = len(others)
    if name == "squared":
        return (own - 1) ** 2 + sum(s**2 for s in others) / max(n, 1)
    if name == "logistic":
        c = config.positive_weight
        return (
            -c * math.log(sigmoid(own))
            - math.log(1 - sigmoid(own))
            + sum(-math.log(1 - sigmoid(s)) for s in others) / max(n, 1)
        )
    if name == "bpr":
        return sum(-math.log(sigmoid(own - s)) for s in others) / max(n, 1)
    if name == "hinge":
        return sum(max(0, config.margin - own + s) for s in others) / max(n, 1)
    if name == "warp":
        for trial, s in enumerate(others, 1):
            if config.margin - own + s > 0:
                return sum(1 / k for k in range(1, (NUM_ITEMS - 1) // trial + 1)) * (config.margin - own + s)
        return 0.0
    count = config.negatives_per_row
    beta = 1 - config.calibration * (1 - count / (NUM_ITEMS - 1))
    return (-beta * math.log(sigmoid(own)) + sum(-math.log(1 - sigmoid(s)) for s in others)) / (count + 1)


@pytest.mark.parametrize("name", IMPLICIT)
@pytest.mark.parametrize(("history", "kept"), [(False, 5), (True, 5), (True, 2)])
def test_the_losses_over_drawn_negatives_are_the_loops(name, history, kept):
    inputs = with_ids_for(inputs_of(TAKEN, NUM_ITEMS), kept)
    model = built(inputs, loss=name, implicit_history=history, positive_weight=1.5)
    batch = batch_of(inputs)
    order = np.argsort(batch["user_id"].numpy(), kind="stable")
    users, items = batch["user_index"].numpy()[order], batch["item_index"].numpy()[order]
    drawn = model._sampler.draw(tf.constant(users), tf.constant(items), 4, model.draw_seed(1))
    table = model._items.variable.numpy()[FIRST_ID:].astype(np.float64)
    losses = []
    for row, (u, i) in enumerate(zip(users, items, strict=True)):
        p = vectors_of(model, TAKEN, 4, without=i)[u]
        score = lambda item, p=p: p @ table[item, :4] + table[item, 4]  # noqa: E731
        negatives = [j for j, ok in zip(drawn.items.numpy()[row], drawn.is_negative.numpy()[row], strict=True) if ok]
        assert not set(negatives) & set(TAKEN[u])
        losses.append(implicit_by_hand(name, score(i), [score(j) for j in negatives], model.config))
    assert float(model.compute_loss(batch)) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("kept", [5, 2])
def test_the_softmax_over_the_catalogue_is_the_loop(monkeypatch, kept):
    monkeypatch.setattr(chunked_softmax, "CHUNK", 3 * NUM_ITEMS)  # three rows at a time
    inputs = with_ids_for(inputs_of(TAKEN, NUM_ITEMS), kept)
    model = built(inputs, loss="softmax", negatives={"kind": "catalogue"})
    batch = batch_of(inputs)
    p, table = vectors_of(model, TAKEN, 4), model._items.variable.numpy()[FIRST_ID:].astype(np.float64)
    losses = []
    for u, i in zip(batch["user_index"].numpy(), batch["item_index"].numpy(), strict=True):
        scores = table[:, :4] @ p[u] + table[:, 4]
        left = [j for j in range(NUM_ITEMS) if j == i or j not in TAKEN[u]]
        losses.append(math.log(sum(math.exp(scores[j]) for j in left)) - scores[i])
    assert float(model.compute_loss(batch)) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_the_penalty_of_a_whole_table_is_the_mean_of_that_of_the_rows_of_batches(monkeypatch, loss):
    rng = np.random.default_rng(5)
    popularity = np.arange(1, 41) / np.arange(1, 41).sum()
    inputs = inputs_of([rng.choice(40, 12, p=popularity).tolist() for _ in range(20)], 40)
    batch, found = batch_of(inputs), {}
    for rows in (0, 1 << 14):  # distinct rows of the batch, and whole tables
        monkeypatch.setattr(tables, "WHOLE_ROWS", rows)
        losses = []
        for l2 in (0.0, 1.0):
            model = built(inputs, loss=loss, l2=l2, negative_alpha=1.0, mask_known_positives=False)
            # Popular items have long vectors: it matters which items the penalty takes for looked up.
            model._items.variable.assign(model._items.variable * tf.range(42.0)[:, None] / 10)
            draws = range(15 if rows == 0 and loss == "bpr" else 1)
            losses.append(np.mean([float(at_seed(model, seed).compute_loss(batch)) for seed in draws]))
        found[rows] = losses[1] - losses[0]
    assert found[1 << 14] == pytest.approx(found[0], rel=0.03 if loss == "bpr" else 1e-3)


def at_seed(model, seed):
    """The model, which now draws by another seed."""
    model.seed = seed
    return model


def test_a_memory_without_a_softmax_is_refused():
    with pytest.raises(ConfigError, match=r"model.memory_rows: is of loss softmax, and the loss is bpr"):
        built(inputs_of(TAKEN, NUM_ITEMS), memory_rows=5)


def test_events_weigh_what_the_dataset_says():
    inputs = rated_inputs()
    model = built(inputs)
    batch = batch_of(inputs)
    weights = np.arange(len(batch["label"])) % 3
    singles = [
        float(model.compute_loss({k: v[row : row + 1] for k, v in batch.items()})) for row in range(len(weights))
    ]
    found = float(model.compute_loss({**batch, "weight": tf.constant(weights, tf.float32)}))
    assert found == pytest.approx(np.average(singles, weights=weights), rel=1e-4)


# --- Answers ---


@pytest.mark.parametrize("history", [False, True])
def test_ratings_are_the_formula_and_what_is_unknown_gets_mean_and_biases(history):
    inputs = rated_inputs()
    model = built(inputs, implicit_history=history, clip=False)
    users, items = model._users.table.variable.numpy()[FIRST_ID:], model._items.variable.numpy()[FIRST_ID:]
    p, mean = vectors_of(model, TAKEN, 4), inputs.train.labels.mean()
    model._users.table.variable.scatter_nd_update([[0], [1]], tf.zeros([2, 5]))  # padding and unknown learn nothing
    model.refresh()
    asked = request([0, 1, 2, 3, 4, None])
    expected = [[mean + users[u, 4] + items[i, 4] + p[u] @ items[i, :4] for i in range(7)] for u in range(5)]
    found = model.scores(asked).numpy()
    np.testing.assert_allclose(found[:5, :7], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:5, 7], mean + users[:5, 4], rtol=1e-4)  # an item that nobody took
    np.testing.assert_allclose(found[5], [*(mean + items[:7, 4]), mean], rtol=1e-4)  # a user of whom nothing is known
    pairs = {"user_id": tf.repeat(asked["user_id"], 8), "item_index": tf.tile(tf.range(8, dtype=tf.int64), [6])}
    np.testing.assert_allclose(model.predicted_ratings(pairs), found.ravel(), rtol=1e-5, atol=1e-6)


def test_ratings_stay_within_the_range_of_the_labels_unless_it_is_not_wanted():
    inputs = rated_inputs()
    users, items = tf.repeat(request(range(5))["user_id"], 8), tf.tile(tf.range(8, dtype=tf.int64), [5])
    pairs = {"user_id": users, "item_index": items}
    found = {}
    for clip in (True, False):
        model = built(inputs, clip=clip)
        model._users.table.variable.assign(9 * model._users.table.variable)
        model.refresh()
        found[clip] = model.predicted_ratings(pairs).numpy()
    low, high = inputs.train.labels.min(), inputs.train.labels.max()
    assert found[False].min() < low < high < found[False].max()
    np.testing.assert_array_equal(found[True], np.clip(found[False], low, high))


def test_items_that_nobody_took_come_last_for_every_known_user():
    inputs = inputs_of(TAKEN, NUM_ITEMS)
    for seed in range(5):
        scores = built(inputs, seed=seed).scores(request(range(5))).numpy()
        assert (scores.argmin(axis=1) == 7).all()


def test_a_user_of_whom_nothing_is_known_gets_the_items_biases_and_without_them_the_popular_items():
    inputs = inputs_of(TAKEN, NUM_ITEMS)
    model = MatrixFactorization(MatrixFactorizationConfig(biases=False), inputs)
    model.refresh()
    scores = model.scores(request([None])).numpy()[0]
    counts = inputs.train.item_counts()
    assert (np.diff(scores[:7][np.argsort(counts[:7], kind="stable")]) >= 0).all()
    assert scores[7] == scores.min()


@pytest.mark.parametrize("kept", [41, 30])
def test_the_fold_in_is_the_ridge_regression_of_user_vectors_on_means_of_item_vectors(kept):
    rng = np.random.default_rng(4)
    taken = [rng.choice(NUM_ITEMS, rng.integers(1, 6), replace=False).tolist() for _ in range(40)] + [[]]
    fold_in = FoldIn(with_ids_for(inputs_of(taken, NUM_ITEMS), kept), 3)
    count = min(kept, 40)  # with events and an id of their own
    items, users = rng.normal(size=(NUM_ITEMS, 3)), rng.normal(size=(count, 3))
    assert fold_in.user_ids.numpy().tolist() == [FIRST_ID + user for user in range(count)]
    fold_in.fit(users, items)
    means = np.array([items[row].mean(axis=0) for row in taken[:count]])
    ridge = 1e-3 * np.mean(np.diag(means.T @ means))
    augmented = np.vstack([means, math.sqrt(ridge) * np.eye(3)])
    expected = np.linalg.lstsq(augmented, np.vstack([users, np.zeros((3, 3))]), rcond=None)[0]
    np.testing.assert_allclose(fold_in.matrix, expected, rtol=1e-4, atol=1e-6)


def test_an_unknown_user_is_answered_by_the_history_of_the_request_and_a_known_one_by_the_own_vector():
    inputs = inputs_of(TAKEN, NUM_ITEMS, history=4)
    model = built(inputs)
    asked = request([None, None, 2, 2], [[0, 6], [], [0, 6], []])
    found = model.scores(asked).numpy()
    items = model._items.variable.numpy()[FIRST_ID:]
    vector = items[[0, 6], :4].mean(axis=0) @ model._users._fold_in.matrix.numpy()
    np.testing.assert_allclose(found[0, :7], items[:7, :4] @ vector + items[:7, 4], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found[1, :7], items[:7, 4], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[2], found[3])


def test_a_history_model_reads_the_items_that_a_new_user_brings_along():
    inputs = inputs_of(TAKEN, NUM_ITEMS, history=4)
    model = built(inputs, implicit_history=True, loss="bpr")
    model._users.table.variable.scatter_nd_update([[0], [1]], tf.zeros([2, 4]))
    found = model.scores(request([None], [[0, 6]])).numpy()[0]
    y, items = model._users.history.table.variable.numpy()[FIRST_ID:], model._items.variable.numpy()[FIRST_ID:]
    vector = (y[0] + y[6]) / math.sqrt(2)
    np.testing.assert_allclose(found[:7], items[:7, :4] @ vector + items[:7, 4], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("is_rating", [False, True])
def test_reciprocal_scores_rank_by_the_product_of_both_directions(is_rating):
    ratings = [1 + (3 * user + item) % 5 for user, row in enumerate(TAKEN) for item in row]
    inputs = rated_inputs(ratings=ratings) if is_rating else inputs_of(TAKEN, NUM_ITEMS)
    # Users 0 … 3 are the items 4, 2, 7 and 0; user 4 is no item.
    inputs = replace(inputs, user_ids=np.array([b"4", b"2", b"7", b"0", b"nobody"], object))
    item_of = {0: 4, 1: 2, 2: 7, 3: 0}
    model, plain = built(inputs, reciprocal=True), built(inputs)
    forward = plain.scores(request(range(5))).numpy().astype(np.float64)
    positive = forward if is_rating else 1 / (1 + np.exp(-forward))  # the lowest rating is 1
    expected = np.array(positive)
    for u, own in item_of.items():
        for v, other in item_of.items():
            expected[u, other] = math.sqrt(positive[u, other] * positive[v, own]) if u != v else 0.0
    np.testing.assert_allclose(model.scores(request(range(5))), expected, rtol=1e-4)
    unknown = model.scores(request([None])).numpy()
    assert np.isfinite(unknown).all()
    assert model.embeddings() is None


def test_whoever_has_no_id_of_the_own_looks_back_as_the_unknown_user():
    inputs = replace(inputs_of(TAKEN, NUM_ITEMS), user_ids=np.array([b"4", b"x", b"y", b"0", b"z"], object))
    inputs = with_ids_for(inputs, 3)  # user 3, who is item 0, has none
    model, plain = built(inputs, reciprocal=True), built(inputs)
    forward, of_unknown = (plain.scores(request([user])).numpy()[0].astype(np.float64) for user in (0, None))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    found = model.scores(request([0])).numpy()[0]
    assert found[0] == pytest.approx(math.sqrt(sigmoid(forward[0]) * sigmoid(of_unknown[4])), rel=1e-5)
    np.testing.assert_allclose(found[[1, 2]], sigmoid(forward[[1, 2]]), rtol=1e-5)


def test_reciprocal_scores_of_a_log_whose_users_are_no_items_are_refused():
    inputs = replace(inputs_of(TAKEN, NUM_ITEMS), user_ids=np.array([b"a", b"b", b"c", b"d", b"e"], object))
    with pytest.raises(ConfigError, match=r"model.reciprocal=true: no user's id is an item's id"):
        built(inputs, reciprocal=True)


def test_the_stated_table_shapes_are_those_of_the_tables():
    inputs = inputs_of(TAKEN, NUM_ITEMS)
    model = built(inputs, implicit_history=True)
    shapes = model.table_shapes(model.config, inputs.schema, inputs.num_ids, NUM_ITEMS)
    found = {variable.name.partition(":")[0]: tuple(variable.shape) for variable in model.variables}
    for shape in shapes:
        rows, width = found[shape.name]
        assert (rows, width) == (shape.rows, shape.dim) or (shape.name == "users" and width == shape.dim - 1)


def test_only_rows_of_the_batch_have_gradients_where_tables_are_large(monkeypatch):
    monkeypatch.setattr(tables, "WHOLE_ROWS", 0)
    inputs = rated_inputs()
    model = built(inputs)
    batch = {name: values[:2] for name, values in batch_of(inputs).items()}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch)
    for gradient, rows in zip(
        tape.gradient(loss, model.trainable_variables),
        (batch["user_id"], batch["item_index"] + FIRST_ID),
        strict=True,
    ):
        assert isinstance(gradient, tf.IndexedSlices)
        assert set(gradient.indices.numpy().tolist()) == set(rows.numpy().tolist())


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_processes")
def test_loss_and_gradients_are_those_of_one_device_on_two_replicas():
    """In a process of its own: logical devices are set up before TensorFlow starts."""
    script = Path(__file__).parent / "factorization_replicas_process.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("same: ")]) == 6, done.stdout
