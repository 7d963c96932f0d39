"""Draws of pairs against their enumeration, losses and scores of item2vec against plain loops, and the contract."""

import math
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tfrec.losses import negative_sampling
from tfrec.models.item2vec import Item2Vec, Item2VecConfig
from tfrec.models.sentences import contexts
from tfrec.models.sentences.contexts import Sentences
from tfrec.models.sentences.skip_gram import importance

QUICK = ("train.batch_size=256", "train.epochs=8", "train.learning_rate=0.03", "model.embedding_dim=16")
SHARED_NON_DEFAULT = {
    "profile": "training",
    "half_life": 2.5,
    "embedding_dim": 7,
    "window": 4,
    "context_draws": 3,
    "num_negatives": 3,
    "negatives_alpha": 0.5,
    "subsample": 0.01,
    "embedding_stddev": 0.5,
    "similarity": "cosine",
    "popularity_power": 0.25,
}
NON_DEFAULT = {**SHARED_NON_DEFAULT, "architecture": "cbow"}


class TestItem2Vec(PersonalContract):
    model = "item2vec"
    overrides = QUICK
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.55, 4.0

    def test_the_stated_table_shapes_are_those_of_the_tables(self, trained):
        model, data, config = trained
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        stated = {shape.name: (shape.rows, shape.dim) for shape in shapes}
        assert stated == {
            "item_input": tuple(model._input.shape),
            "item_output": tuple(model._output.shape),
            "profile_vectors": tuple(model._profile_vectors.shape),
            "item_vectors": tuple(model._item_vectors.shape),
        }


# --- Which pairs are drawn ---


def neighbours_by_hand(row, place, window):
    return [j for j in range(len(row)) if j != place and (window is None or abs(j - place) <= window)]


def pair_probabilities(taken, window):
    """(user, place of the centre, place of the context) → probability, by the definition."""
    events = sum(map(len, taken))
    found = {}
    for user, row in enumerate(taken):
        for place in range(len(row)):
            near = neighbours_by_hand(row, place, window)
            for other in near:
                found[user, place, other] = len(row) / events / len(row) / len(near)
    return found


@pytest.mark.parametrize("window", [None, 1, 2, 9])
def test_pairs_are_drawn_as_often_as_stated(window):
    taken = [[0, 1, 2, 3], [], [4, 5], [6], [7, 8, 9, 10, 11, 12]]  # items are places in the log
    inputs = inputs_of(taken, 13)
    sentence = Sentences(inputs.train, window)
    rows = 130_000  # each event is a row of the records equally often
    users = tf.constant(np.tile(inputs.train.users, rows // 13))
    centres = sentence.draw_centres(users, tf.constant([1, 2]))
    context = sentence.draw_context(users, centres, 2, tf.constant([3, 4]))
    first = np.asarray(inputs.train.row_splits)[users.numpy()]
    counted = Counter()
    for column in range(2):
        is_there = context.is_there[:, column].numpy()
        triples = np.stack([users.numpy(), centres.numpy() - first, context.items[:, column].numpy() - first], axis=1)
        counted.update(map(tuple, triples[is_there].tolist()))
    expected = pair_probabilities(taken, window)
    assert set(counted) == set(expected)
    for pair, probability in expected.items():
        # The two columns of a row share a centre, so they count as one draw for the bound.
        deviation = math.sqrt(probability * (1 - probability) / rows)
        assert abs(counted[pair] / (2 * rows) - probability) < 5 * deviation, pair


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any),
    window=st.sampled_from([None, 1, 2, 4]),
)
def test_every_neighbour_is_drawn_by_one_number_and_nothing_else_is(lengths, window):
    starts = np.cumsum([0, *lengths])
    taken = [list(range(starts[u], starts[u + 1])) for u in range(len(lengths))]
    inputs = inputs_of(taken, int(starts[-1]))
    sentence, below = Sentences(inputs.train, window), contexts._below
    users, places = tf.constant(inputs.train.users), tf.range(starts[-1], dtype=tf.int64)
    try:  # a column for each number from 0 to 5, of which a centre with n neighbours draws 0 … n - 1
        contexts._below = lambda counts, seed: tf.range(6, dtype=tf.int64) % tf.maximum(counts, 1)
        context = sentence.draw_context(users, places, 6, None)
    finally:
        contexts._below = below
    for place, user in enumerate(inputs.train.users):
        near = [taken[user][j] for j in neighbours_by_hand(taken[user], place - starts[user], window)]
        assert context.is_there.numpy()[place].tolist() == [bool(near)] * 6
        if near:
            assert context.items.numpy()[place][: len(near)].tolist() == near
    if window is not None:
        whole = sentence.whole_context(users, places)
        for place, user in enumerate(inputs.train.users):
            near = [taken[user][j] for j in neighbours_by_hand(taken[user], place - starts[user], window)]
            assert whole.items.numpy()[place][whole.is_there.numpy()[place]].tolist() == near


def test_numbers_below_a_count_are_all_alike_and_stay_below():
    counts = tf.constant(np.tile([0, 1, 3, 7], 40_000))
    drawn = contexts._below(counts, tf.constant([5, 6])).numpy().reshape(-1, 4)
    assert (drawn[:, :2] == 0).all()
    for column, count in ((2, 3), (3, 7)):
        share = np.bincount(drawn[:, column], minlength=count) / len(drawn)
        assert len(share) == count
        np.testing.assert_allclose(share, 1 / count, atol=5 * math.sqrt(0.25 / len(drawn)))


# --- Losses ---


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def loss_by_hand(query, outputs, target, negatives):
    loss = -math.log(sigmoid(float(np.dot(query, outputs[target]))))
    for negative in negatives:
        if negative != target:
            loss -= math.log(sigmoid(-float(np.dot(query, outputs[negative]))))
    return loss


def model_of(taken, num_items, history=None, cls=Item2Vec, **choices):
    """A model whose vectors are large enough to see differences."""
    choices = {"embedding_dim": 3, "embedding_stddev": 0.7, **choices}
    model = cls(cls.Config(**choices), inputs_of(taken, num_items, history))
    model._output.assign(np.random.default_rng(2).normal(size=model._output.shape))
    return model


def record(model, monkeypatch):
    """What the model draws while it computes a loss: method name → results."""
    seen = {}
    for owner, name in (
        (model._sentences, "draw_centres"),
        (model._sentences, "draw_context"),
        (model._sentences, "whole_context"),
        (model._negatives, "draw"),
    ):
        original = getattr(owner, name)

        def call(*arguments, original=original, name=name):
            found = original(*arguments)
            seen.setdefault(name, []).append(found)
            return found

        monkeypatch.setattr(owner, name, call)
    return seen


def vectors_by_item(model):
    """Input and output vectors, by item index: the first two ids are no items."""
    return model._input.numpy()[2:].astype(float), model._output.numpy()[2:].astype(float)


TAKEN = [[0, 1, 2, 1, 4], [3, 1], [5], [2, 0, 5, 3]]
LOG = [item for row in TAKEN for item in row]


@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize("subsample", [None, 0.05])
def test_the_skip_gram_loss_is_that_of_plain_loops(monkeypatch, window, subsample):
    model = model_of(TAKEN, 7, window=window, context_draws=3, num_negatives=4, subsample=subsample)
    seen = record(model, monkeypatch)
    users = [0, 0, 1, 2, 3, 0, 3]
    loss = float(model.compute_loss({"user_index": tf.constant(users, tf.int64)}, training=True))
    inputs, outputs = vectors_by_item(model)
    counts = np.bincount(LOG, minlength=7)
    keep = [1.0] * 7 if subsample is None else [min(1, math.sqrt(subsample / max(c / 12, 1e-9))) for c in counts]
    total, weights = 0.0, 0.0
    context, negatives = seen["draw_context"][0], seen["draw"][0].numpy().reshape(7 * 3, 4)
    for row in range(7):
        centre = LOG[seen["draw_centres"][0].numpy()[row]]
        for column in range(3):
            target = int(context.items[row, column])
            if not bool(context.is_there[row, column]) or target == centre:
                continue
            weight = keep[centre] * keep[target]
            weights += weight
            total += weight * loss_by_hand(inputs[centre], outputs, target, negatives[row * 3 + column])
    assert loss == pytest.approx(total / weights, rel=1e-5)


@pytest.mark.parametrize("window", [None, 2])
def test_the_bag_of_words_loss_is_that_of_the_mean_of_the_context(monkeypatch, window):
    model = model_of(TAKEN, 7, architecture="cbow", window=window, context_draws=3, num_negatives=4)
    seen = record(model, monkeypatch)
    users = [0, 0, 1, 2, 3, 0, 3]
    loss = float(model.compute_loss({"user_index": tf.constant(users, tf.int64)}, training=True))
    inputs, outputs = vectors_by_item(model)
    starts = np.cumsum([0, *map(len, TAKEN)])
    negatives = seen["draw"][0].numpy().reshape(7, 4)
    losses = []
    for row, user in enumerate(users):
        place = int(seen["draw_centres"][0][row])
        if window is None:
            drawn = seen["draw_context"][0]
            bag = [int(i) for i, there in zip(drawn.items[row], drawn.is_there[row], strict=True) if there]
        else:
            bag = [TAKEN[user][j] for j in neighbours_by_hand(TAKEN[user], place - starts[user], window)]
        bag = [item for item in bag if item != LOG[place]]
        if bag:
            mean = sum(inputs[item] for item in bag) / len(bag)
            losses.append(loss_by_hand(mean, outputs, LOG[place], negatives[row]))
    assert len(losses) < 7  # the user of one event has no context
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_batch_without_any_pair_loses_nothing():
    model = model_of([[0], [1]], 2)
    with tf.GradientTape() as tape:
        loss = model.compute_loss({"user_index": tf.constant([0, 1], tf.int64)}, training=True)
    gradient = tf.convert_to_tensor(tape.gradient(loss, model._input))
    assert float(loss) == 0
    assert not gradient.numpy().any()


def test_huge_logits_give_a_finite_loss():
    loss = negative_sampling(tf.constant([1e4, -1e4]), tf.constant([[1e4], [-1e4]]), tf.constant([[True], [True]]))
    np.testing.assert_allclose(loss, [1e4, 1e4])


def test_frequent_items_count_as_mikolov_keeps_them():
    counts = np.array([0, 1, 9, 90])
    expected = [1, 1] + [math.sqrt(0.05 / (n / 100)) for n in (9, 90)]
    np.testing.assert_allclose(importance(counts, 0.05), expected)
    np.testing.assert_allclose(importance(counts, None), 1)


def test_the_draws_of_a_step_follow_from_seed_and_step():
    users = {"user_index": tf.constant([0, 1, 3] * 20, tf.int64)}

    def loss(seed, step):
        model = Item2Vec(Item2VecConfig(embedding_dim=3), inputs_of(TAKEN, 7), seed=seed)
        model._input.assign(np.random.default_rng(1).normal(size=model._input.shape))
        model._output.assign(np.random.default_rng(2).normal(size=model._output.shape))
        model.compile(optimizer=tf.keras.optimizers.SGD())
        model.optimizer.iterations.assign(step)
        return float(model.compute_loss(users, training=True))

    assert loss(1, 5) == loss(1, 5)
    assert len({loss(1, 5), loss(1, 6), loss(2, 5)}) == 3


# --- Answers ---


@pytest.mark.parametrize("similarity", ["context", "cosine", "dot"])
@pytest.mark.parametrize("half_life", [None, 1.5])
def test_scores_are_those_of_plain_loops(similarity, half_life):
    model = model_of(TAKEN, 7, similarity=similarity, half_life=half_life, popularity_power=0.5)
    model.refresh()
    inputs, outputs = vectors_by_item(model)
    if similarity == "cosine":
        inputs = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    counts = np.bincount(LOG, minlength=7)
    found = model.scores(request(range(4))).numpy()
    for user, row in enumerate(TAKEN):
        profile = profile_by_hand(row, half_life)
        query = sum(weight * inputs[item] for item, weight in profile.items()) / sum(profile.values())
        if similarity == "cosine":
            query = query / np.linalg.norm(query)
        candidates = outputs if similarity == "context" else inputs
        expected = [float(np.dot(query, candidates[i])) + 0.5 * math.log(1 + counts[i]) for i in range(7)]
        np.testing.assert_allclose(found[user, :6], expected[:6], atol=1e-5)
        assert found[user, 6] < found[user, :6].min()  # nobody took it


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_of_whom_nothing_is_known_gets_the_popular_items(power):
    model = model_of(TAKEN, 7, popularity_power=power)
    model.refresh()
    scores = model.scores(request([None])).numpy()[0]
    counts = np.bincount(LOG, minlength=7)
    for i in range(7):
        for j in range(7):
            assert counts[i] <= counts[j] or scores[i] > scores[j]


# --- Learning ---


def scores_after_training(cls, **choices):
    """Scores of 60 users who each took 3 of the 6 items of one of two communities, in any order; [60, 12]."""
    random = np.random.default_rng(4)
    taken = [(random.permutation(6)[:3] + 6 * (user % 2)).tolist() for user in range(60)]
    model = cls(cls.Config(embedding_dim=8, popularity_power=0, **choices), inputs_of(taken, 12))
    optimizer = tf.keras.optimizers.Adam(0.05)
    model.compile(optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    users = tf.constant(model.inputs.train.users)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model.compute_loss({"user_index": users, "user_id": users + 2}, training=True)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for _ in range(60):
        step()
    model.refresh()
    return taken, model.scores(request(range(60))).numpy()


def require_own_community_first(taken, scores):
    for user, row in enumerate(taken):
        unseen = [item for item in range(12) if item not in row]
        best = sorted(unseen, key=lambda item: -scores[user, item])[:3]
        assert {item // 6 for item in best} == {user % 2}


@pytest.mark.parametrize(
    ("architecture", "window", "similarity"),
    [("skip_gram", None, "cosine"), ("skip_gram", 1, "dot"), ("cbow", None, "context"), ("cbow", 2, "dot")],
)
def test_items_of_one_community_come_first(architecture, window, similarity):
    found = scores_after_training(Item2Vec, architecture=architecture, window=window, similarity=similarity)
    require_own_community_first(*found)
