"""The candidate generator against plain loops: tower, softmax, example age; and the contract."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import inputs_of, request
from tfrec.errors import ConfigError
from tfrec.models.youtube_retrieval import YoutubeRetrieval, YoutubeRetrievalConfig
from tfrec.schema import Schema

SIGNATURES = {"user_embedding", "item_embedding"}
NON_DEFAULT = {
    "embedding_dim": 7,
    "hidden": [11, 5],
    "dropout": 0.25,
    "input_dropout": 0.125,
    "history_half_life": 2.5,
    "use_user_id": False,
    "user_id_dropout": 0.25,
    "user_features": ["country", "age"],
    "example_age": False,
    "examples_per_user": 9,
    "share_item_table": False,
    "residual": False,
    "embedding_stddev": 0.25,
    "negatives": {"kind": "hard", "n": 33, "alpha": 0.5, "pool": 3},
    "mask_known_positives": False,
}
QUICK = ("train.batch_size=512", "train.epochs=12", "train.learning_rate=0.01", "model.embedding_dim=16")


class TestYoutubeRetrieval(PersonalContract):
    model = "youtube_retrieval"
    overrides = (*QUICK, "model.hidden=[32]", "model.examples_per_user=20", "model.negatives.kind=catalogue")
    non_default = NON_DEFAULT
    signatures = PersonalContract.signatures | SIGNATURES
    favourite_genre_share, favourite_genre_gain = 0.65, 4.5

    def test_the_stated_table_shapes_are_those_of_the_tables(self, trained):
        model, data, config = trained
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        stated = {shape.name: (shape.rows, shape.dim) for shape in shapes}
        tables = {"softmax_weights": model._softmax, "softmax_biases": model._bias, "users": model._users}
        tables["item_vectors"] = model._item_vectors
        assert stated == {name: tuple(table.shape) for name, table in tables.items()}


class TestAsInThePaper(PersonalContract):
    model = "youtube_retrieval"
    overrides = (
        *QUICK,
        "model.hidden=[32, 16]",
        "model.dropout=0",
        "model.input_dropout=0",
        "model.history_half_life=null",
        "model.use_user_id=false",
        "model.user_features=[country, age_in_years]",
        "model.example_age=true",
        "model.share_item_table=false",
        "model.residual=false",
    )
    non_default = NON_DEFAULT
    signatures = PersonalContract.signatures | SIGNATURES
    favourite_genre_share, favourite_genre_gain = 0.33, 2.4

    def test_the_age_of_examples_is_learnt_from_and_not_asked_for(self, trained):
        model, _, _ = trained
        assert "event_time_ms" in model.train_columns()
        assert "event_time_ms" not in model.required_features


TAKEN = [[0, 1, 2, 1, 4], [3, 1], [5], [2, 0, 5, 3]]
TIMES_MS = np.array([1000, 2000, 2500, 9000, 11_000, 4000, 5000, 7000, 1000, 3000, 6000, 8500], np.int64)


def timed_inputs():
    """The log with times; nobody took item 6."""
    inputs = inputs_of(TAKEN, 7, history=3)
    content = {**inputs.schema.model_dump(), "timestamp": {"column": "time", "unit": "ms"}}
    train = replace(inputs.train, times_ms=TIMES_MS)
    return replace(inputs, schema=Schema.model_validate(content), train=train)


PAPER = {"history_half_life": None, "use_user_id": False, "share_item_table": False, "residual": False}
PAPER |= {"example_age": True, "dropout": 0.0, "input_dropout": 0.0}


def model_of(inputs=None, **choices):
    """The paper's model but for the choices, with vectors large enough to see differences."""
    choices = {**PAPER, "embedding_dim": 3, "hidden": (5, 4), "embedding_stddev": 0.7, **choices}
    model = YoutubeRetrieval(YoutubeRetrievalConfig(**choices), inputs or timed_inputs())
    for bias in model._tower.biases:
        bias.assign(np.random.default_rng(3).normal(size=bias.shape))
    return model


def query_by_hand(model, history, age, user=None):
    """The tower, one number at a time where it matters."""
    taken = model._taken.numpy().astype(float)
    mean = np.zeros(3)
    for item in history:
        mean += taken[2 + item] / len(history)
    values = list(mean)
    if model._users is not None:
        values += list(model._users.numpy()[user])
    if model._age is not None:
        values += [age, math.sqrt(age), age**2]
    for layer, (kernel, bias) in enumerate(zip(model._tower.kernels, model._tower.biases, strict=True)):
        kernel, bias = kernel.numpy().astype(float), bias.numpy().astype(float)
        values = [bias[j] + sum(values[i] * kernel[i, j] for i in range(len(values))) for j in range(kernel.shape[1])]
        if layer < len(model._tower.kernels) - 1:
            values = [max(value, 0.0) for value in values]
    query = np.array(values)
    if model.config.residual:
        query = query + mean + (0 if model._users is None else model._users.numpy()[user])
    return query


def logits_by_hand(model, query):
    weights, biases = model._softmax.numpy().astype(float), model._bias.numpy().astype(float)[:, 0]
    unknown_or = [2, 3, 4, 5, 6, 7, 8]  # every item has an id of its own here
    return [float(np.dot(query, weights[row])) + biases[row] for row in unknown_or]


@pytest.mark.parametrize("choices", [{}, {"hidden": ()}, {"residual": True, "use_user_id": True}])
def test_scores_are_those_of_plain_loops_and_of_now(choices):
    model = model_of(**choices)
    model.refresh()
    asked = [(0, [2, 1, 4]), (1, [3]), (None, [])]
    found = model.scores(request([user for user, _ in asked], [items for _, items in asked])).numpy()
    for row, (user, items) in enumerate(asked):
        query = query_by_hand(model, items, 0.0, 1 if user is None else user + 2)
        np.testing.assert_allclose(found[row], logits_by_hand(model, query), rtol=1e-4, atol=1e-5)


def batch():
    """Rows of users 0 and 3, not sorted: user, history before the event, item, time."""
    rows = [(3, [2, 0], 5, 6000), (0, [], 0, 1000), (3, [2], 0, 3000), (0, [1, 2, 1], 4, 11_000)]
    histories = [[2 + item for item in items] + [0] * (3 - len(items)) for _, items, _, _ in rows]
    users = np.array([user for user, *_ in rows], np.int64)
    columns = {
        "user_index": users,
        "user_id": users + 2,
        "item_index": np.array([item for *_, item, _ in rows], np.int64),
        "history": np.array(histories, np.int64),
        "event_time_ms": np.array([time for *_, time in rows], np.int64),
    }
    return rows, {name: tf.constant(values) for name, values in columns.items()}


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("per_user", [None, 2])
def test_the_loss_is_the_softmax_over_the_catalogue_given_the_age(masked, per_user):
    model = model_of(negatives={"kind": "catalogue"}, mask_known_positives=masked, examples_per_user=per_user)
    rows, columns = batch()
    total, weights = 0.0, 0.0
    for user, history, item, time in rows:
        age = (11_000 - time) / 10_000
        logits = logits_by_hand(model, query_by_hand(model, history, age))
        among = [j for j in range(7) if j == item or not masked or j not in TAKEN[user]]
        loss = math.log(sum(math.exp(logits[j]) for j in among)) - logits[item]
        weight = 1.0 if per_user is None else min(1.0, per_user / len(TAKEN[user]))
        total += weight * loss
        weights += weight
    assert float(model.compute_loss(columns)) == pytest.approx(total / weights, rel=1e-5)


def test_the_age_is_that_of_the_time_which_training_spans():
    model = model_of()
    # A second after the newest is no older than it: records that training has not seen are no younger than now.
    times = tf.constant([11_000, 1000, 6000, 12_000], tf.int64)
    found = model._age(times, 4).numpy()
    np.testing.assert_allclose(found, [[0, 0, 0], [1, 1, 1], [0.5, math.sqrt(0.5), 0.25], [0, 0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(model._age(None, 2).numpy(), np.zeros((2, 3)))


def test_an_age_of_real_times_keeps_its_seconds():
    start = 1_700_000_000_000
    train = replace(timed_inputs().train, times_ms=start + np.arange(12, dtype=np.int64) * 1000)
    model = model_of(replace(timed_inputs(), train=train))
    found = model._age(tf.constant(train.times_ms), 12).numpy()[:, 0]
    np.testing.assert_allclose(found, np.arange(11, -1, -1) / 11, rtol=1e-5, atol=1e-7)


def test_an_age_without_a_timestamp_is_refused_in_one_line():
    with pytest.raises(ConfigError, match=r"^model.example_age=true: the dataset has no timestamp[^\n]*$"):
        model_of(inputs_of(TAKEN, 7, history=3))


@pytest.mark.parametrize(("strategy", "has_age"), [("temporal", True), ("leave_one_out", False)])
def test_unless_told_the_age_is_read_where_the_split_is_by_time(strategy, has_age):
    inputs = timed_inputs()
    content = {**inputs.schema.model_dump(), "split": {"strategy": strategy}}
    model = model_of(replace(inputs, schema=Schema.model_validate(content)), example_age=None)
    assert (model._age is not None) == has_age
    assert ("event_time_ms" in model.train_columns()) == has_age


def test_a_tower_that_reads_nothing_is_refused_in_one_line():
    with pytest.raises(ConfigError, match=r"^model: the tower reads nothing;[^\n]*$"):
        model_of(inputs_of(TAKEN, 7), example_age=False)


def test_before_training_the_biases_are_the_shares_of_the_events():
    model = model_of()
    counts = np.bincount([item for row in TAKEN for item in row], minlength=7)
    np.testing.assert_allclose(model._bias.numpy()[2:, 0], np.log((counts + 0.5) / (12 + 0.5 * 9)), rtol=1e-6)


def test_the_embeddings_multiply_to_the_scores():
    model = model_of(use_user_id=True)
    model.refresh()
    features = request([0, 2], [[1, 2], []])
    items = {"item_id": tf.constant(np.arange(7) + 2)}
    products = model.embed_users(features).numpy() @ model.embed_items(items).numpy().T
    np.testing.assert_allclose(products, model.scores(features), rtol=1e-5)


def test_learnt_weights_let_the_latest_item_count_most():
    model = model_of(history_half_life=1.0, hidden=(), residual=True, example_age=False)
    for kernel, bias in zip(model._tower.kernels, model._tower.biases, strict=True):
        kernel.assign(tf.zeros_like(kernel))
        bias.assign(tf.zeros_like(bias))
    found = model.embed_users(request([0], [[4, 1, 3]])).numpy()[0, :3]
    taken = model._taken.numpy()[2:]
    np.testing.assert_allclose(found, taken[3] + taken[1] / 2 + taken[4] / 4, rtol=1e-5)


def test_dropout_is_for_training_alone_and_follows_from_the_seed():
    columns = batch()[1]

    def losses(seed, **choices):
        config = {**PAPER, "embedding_dim": 3, "hidden": (5,), "negatives": {"kind": "catalogue"}, **choices}
        model = YoutubeRetrieval(YoutubeRetrievalConfig(**config), timed_inputs(), seed=1)
        model.seed = seed
        return [float(model.compute_loss(columns, training=training)) for training in (True, False)]

    for choices in ({"dropout": 0.5}, {"input_dropout": 0.5}, {"use_user_id": True, "user_id_dropout": 0.5}):
        one, again, other = losses(1, **choices), losses(1, **choices), losses(2, **choices)
        assert one == again
        assert one[0] != other[0] != other[1] == one[1]
