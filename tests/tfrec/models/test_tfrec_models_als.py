"""Alternating least squares against plain loops with one linear system each, and the contract of retrieval models."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tests.trainer.planted_world import quiet_console
from tests.trainer.raw_rows import call
from tests.transforms.published_files import needs
from tfrec.errors import ConfigError
from tfrec.models.als import ALS, ALSConfig
from tfrec.models.factors import als_solver
from tfrec.models.factors.als_solver import Entries, solve_rows
from tfrec.models.factors.als_training import first_vectors
from tfrec.models.factors.pair_weights import PairWeights, taken_weights
from tfrec.models.profiles.cold_start import TIE_BREAK
from tfrec.schema import ITEM_INDEX
from trainer.export import export_job
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job

NON_DEFAULT = {
    "profile": "training",
    "half_life": 2.5,
    "feedback": "explicit",
    "embedding_dim": 7,
    "passes": 3,
    "l2": 0.25,
    "l2_exponent": 0.5,
    "unobserved_weight": 0.75,
    "weighting": "events",
    "bias_l2": 1.5,
    "initial_stddev": 0.5,
}
TWO_TOWERS = {"serving_default", "recommend", "items", "explain", "user_embedding", "item_embedding"}


class TestALS(PersonalContract):
    model = "als"
    overrides = ("model.embedding_dim=16", "model.unobserved_weight=0.3")
    non_default = NON_DEFAULT
    signatures = TWO_TOWERS
    favourite_genre_share, favourite_genre_gain = 0.35, 2.5


class TestALSOfALateHistory(PersonalContract):
    model = "als"
    overrides = ("model.embedding_dim=16", "model.profile=history", "model.half_life=4")
    non_default = NON_DEFAULT
    signatures = TWO_TOWERS
    favourite_genre_share, favourite_genre_gain = 0.5, 4.0


# --- The solver ---


def solved_by_hand(rows, vectors, base, ridges):
    """One linear system per row; `rows`: [(column, weight, pull), …] each."""
    found = []
    for row, ridge in zip(rows, ridges, strict=True):
        matrix, side = base + np.diag(ridge), np.zeros(vectors.shape[1])
        for column, weight, pull in row:
            matrix = matrix + weight * np.outer(vectors[column], vectors[column])
            side = side + pull * vectors[column]
        found.append(np.linalg.solve(matrix, side))
    return np.array(found).reshape(len(rows), vectors.shape[1])


entries = st.lists(st.tuples(st.integers(0, 4), st.floats(0, 3, width=16), st.floats(-2, 2, width=16)), max_size=9)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(entries, max_size=6), dim=st.integers(1, 3), block_values=st.sampled_from([1, 20, 1 << 19]),
    is_plain=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_every_row_is_the_solution_of_its_own_linear_system(rows, dim, block_values, is_plain, seed):
    rng = np.random.default_rng(seed)
    vectors, root = rng.normal(size=(5, dim)), rng.normal(size=(dim, dim))
    base, ridges = root @ root.T, rng.uniform(0.5, 2, size=(len(rows), dim))
    if is_plain:
        rows = [[(column, 1.0, 1.0) for column, _, _ in row] for row in rows]
    flat = [entry for row in rows for entry in row]
    columns, weights, pulls = (tf.constant([one[at] for one in flat], kind) for at, kind in enumerate(KINDS))
    splits = tf.constant(np.cumsum([0, *map(len, rows)]), tf.int64)
    given = Entries(splits, columns, *((None, None) if is_plain else (weights, pulls)))
    before, als_solver.BLOCK_VALUES = als_solver.BLOCK_VALUES, block_values
    try:
        found = solve_rows(given, *(tf.constant(one, tf.float32) for one in (vectors, base, ridges)))
    finally:
        als_solver.BLOCK_VALUES = before
    np.testing.assert_allclose(found, solved_by_hand(rows, vectors, base, ridges), rtol=1e-3, atol=1e-4)


KINDS = (tf.int32, tf.float32, tf.float32)

# --- Implicit feedback ---


def fitted(inputs, seed=0, **config):
    model = ALS(ALSConfig(**config), inputs)
    model.seed = seed
    model.fit(inputs)
    return model


def vectors_by_hand(weights, start, config):
    """(users, items) after the passes; `weights`: dense matrix, 0 where nothing was taken."""
    items, w0 = start.astype(np.float64), config.unobserved_weight

    def half_step(weights, others):
        ridges = [[config.l2 * (row.sum() + w0 * len(row)) ** config.l2_exponent] * others.shape[1] for row in weights]
        rows = [[(column, row[column], row[column]) for column in np.flatnonzero(row)] for row in weights]
        return solved_by_hand(rows, others, w0 * others.T @ others, ridges)

    for _ in range(config.passes):
        users = half_step(weights, items)
        items = half_step(weights.T, users)
    return half_step(weights, items), items


TAKEN = [[0, 1, 2, 1], [1, 3], [], [4, 0, 2], [5], [3, 1, 0]]
ITEMS = 7  # nobody took the last one


def dense(taken, num_items):
    return np.array([[float(row.count(item)) for item in range(num_items)] for row in taken])


def with_prior(scores, taken, num_items):
    """Scores as the model gives them: the prior everywhere, alone where nothing is known, new items last."""
    counts = dense(taken, num_items).sum(axis=0)
    prior = TIE_BREAK * counts / counts.max()
    found = np.where(counts == 0, scores.min(axis=1, keepdims=True), scores)
    return np.where(np.array([not row for row in taken])[:, None], prior, found + prior)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("weighting", ["binary", "events"])
def test_scores_are_those_of_plain_loops(exponent, weighting):
    config = ALSConfig(embedding_dim=3, passes=4, l2=0.07, l2_exponent=exponent, weighting=weighting)
    weights = dense(TAKEN, ITEMS)
    if weighting == "binary":
        weights = np.minimum(weights, 1)
    users, items = vectors_by_hand(weights, first_vectors(ITEMS, 3, 0.1, 5).numpy(), config)
    model = fitted(inputs_of(TAKEN, ITEMS), 5, **config.model_dump())
    expected = with_prior(users @ items.T, TAKEN, ITEMS)
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(model.scores(request(range(len(TAKEN)))), expected, rtol=2e-3, atol=2e-4)
    np.testing.assert_array_equal(model.embed_items({"item_id": tf.constant([2 + 6, 1])}), np.zeros((2, 3)))


def test_events_weigh_as_the_dataset_says():
    inputs = inputs_of(TAKEN, ITEMS)
    weights = np.arange(inputs.train.num_events, dtype=np.float32) / 4
    weights[[0, 9]] = 0  # user 0's first event, and all that user 4 did
    train = dataclasses.replace(inputs.train, weights=weights)
    matrix = np.zeros((len(TAKEN), ITEMS))
    places = [(user, item) for user, row in enumerate(TAKEN) for item in row]
    for place, weight in zip(places, weights, strict=True):
        matrix[place] += weight
    np.testing.assert_array_equal(taken_weights(train, "events").toarray(), matrix)
    config = ALSConfig(embedding_dim=3, passes=4, weighting="events")
    model = fitted(dataclasses.replace(inputs, train=train), 5, **config.model_dump())
    l2 = config.model_copy(update={"l2": 0.01, "l2_exponent": 1.0})
    by_hand = vectors_by_hand(matrix, first_vectors(ITEMS, 3, 0.1, 5).numpy(), l2)
    expected = with_prior(by_hand[0] @ by_hand[1].T, TAKEN, ITEMS)
    np.testing.assert_allclose(model.scores(request(range(len(TAKEN)))), expected, rtol=2e-3, atol=2e-4)
    users, items = np.divmod(np.arange(-ITEMS, matrix.size + ITEMS), ITEMS)  # unknown users too
    known = (users >= 0) & (users < len(TAKEN))
    known = [ok and item in TAKEN[user] for ok, user, item in zip(known, users, items, strict=True)]
    found = PairWeights(taken_weights(train, "events"))(tf.constant(users), tf.constant(items))
    np.testing.assert_array_equal(found, np.where(known, matrix[np.clip(users, 0, len(TAKEN) - 1), items], 1))


def test_a_new_user_gets_what_a_known_one_of_the_same_items_gets():
    inputs = inputs_of(TAKEN, ITEMS, history=5)
    model = fitted(inputs, embedding_dim=3, profile="both")
    known = model.scores(request([3, 5, 2], [[], [], []]))
    new = model.scores(request([None, None, None], [TAKEN[3], TAKEN[5], []]))
    np.testing.assert_allclose(new, known, rtol=1e-6)
    np.testing.assert_allclose(new[2], TIE_BREAK * np.array([3, 4, 2, 2, 1, 1, 0]) / 4, rtol=1e-6)
    more = model.scores(request([3], [[5]])).numpy()[0]
    assert more[5] > known[0][5]


def test_items_weigh_by_how_lately_they_were_taken():
    config = ALSConfig(embedding_dim=3, passes=5, l2=0.02, l2_exponent=1.0, half_life=1.5)
    model = fitted(inputs_of(TAKEN, ITEMS), **config.model_dump())
    items, w0 = model.item_vectors_for_reasons().numpy().astype(np.float64), config.unobserved_weight
    profile = profile_by_hand(TAKEN[0], 1.5)
    ridge = [config.l2 * (sum(profile.values()) + w0 * ITEMS)] * 3
    row = [(item, weight, weight) for item, weight in profile.items()]
    (user,) = solved_by_hand([row], items, w0 * items.T @ items, [ridge])
    np.testing.assert_allclose(model.embed_users(request([0]))[0], user, rtol=1e-3, atol=1e-5)


def test_reasons_are_the_items_that_make_up_the_score():
    config = ALSConfig(embedding_dim=3, passes=5, half_life=2.0, weighting="events")
    model = fitted(inputs_of(TAKEN, ITEMS), **config.model_dump())
    items, w0 = model.item_vectors_for_reasons().numpy().astype(np.float64), config.unobserved_weight
    users, wanted = [0, 5, 2], [[3, 0], [2, 5], [1, 6]]
    found = model.explain(request(users), tf.constant(wanted, tf.int64), 4)
    scores = model.embed_users(request(users)).numpy() @ items.T
    for row, user in enumerate(users):
        recency = profile_by_hand(TAKEN[user], 2.0)
        profile = {item: weight * TAKEN[user].count(item) for item, weight in recency.items()}
        ridge = 0.01 * (sum(profile.values()) + w0 * ITEMS)
        inverse = np.linalg.inv(
            w0 * items.T @ items
            + ridge * np.eye(3)
            + sum((weight * np.outer(items[i], items[i]) for i, weight in profile.items()), np.zeros((3, 3)))
        )
        for place, item in enumerate(wanted[row]):
            added = {i: weight * items[i] @ inverse @ items[item] for i, weight in profile.items()}
            assert sum(added.values()) == pytest.approx(scores[row, item], rel=1e-3, abs=1e-5)
            expected = sorted(((v, f"item:{i}") for i, v in added.items() if v > 1e-6 and i != item), reverse=True)
            labels = [label.decode() for label in found.labels.numpy()[row, place] if label]
            assert labels == ([label for _, label in expected] or ["popularity"])
            for value, weight in zip(expected, found.weights.numpy()[row, place], strict=False):
                assert weight == pytest.approx(value[0], rel=2e-3, abs=1e-5)


def loss_by_hand(weights, users, items, config):
    """The objective of the docstring."""
    total, w0 = 0.0, config.unobserved_weight
    for user, row in enumerate(weights):
        for item, weight in enumerate(row):
            product = users[user] @ items[item]
            total += weight * (1 - product) ** 2 + w0 * product**2
    for vectors, matrix in ((users, weights), (items, weights.T)):
        for vector, row in zip(vectors, matrix, strict=True):
            total += config.l2 * (row.sum() + w0 * len(row)) ** config.l2_exponent * vector @ vector
    return total


@settings(max_examples=3, deadline=None)
@given(
    taken=st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=2, max_size=6).filter(any),
    exponent=st.sampled_from([0.0, 1.0]),
    w0=st.sampled_from([0.02, 1.0]),
)
def test_no_pass_makes_the_objective_worse(taken, exponent, w0):
    weights, losses = np.minimum(dense(taken, 6), 1), []
    for passes in (1, 3):
        config = ALSConfig(embedding_dim=2, passes=passes, l2=0.05, l2_exponent=exponent, unobserved_weight=w0)
        model = fitted(inputs_of(taken, 6), **config.model_dump())
        users = model.embed_users(request(range(len(taken)))).numpy().astype(np.float64)
        losses.append(loss_by_hand(weights, users, model.item_vectors_for_reasons().numpy().astype(np.float64), config))
    assert losses[1] <= losses[0] * (1 + 1e-5)


@pytest.mark.slow
def test_it_has_the_hit_rate_that_others_published():
    """Among 99 given negatives of ML-1M, 64 factors: HR@10 0.7215, NDCG@10 0.4449 (computed elsewhere)."""
    files = ("ml-1m.train.pairs.tsv", "ml-1m.test.rating", "ml-1m.test.negative")
    pairs, positives, negatives = (
        np.loadtxt(path, np.int64, delimiter="\t", usecols=columns)
        for path, columns in zip(needs(*(f"ml-1m-ncf/{name}" for name in files)), ((0, 1), (0, 1), range(1, 100)))
    )
    taken = [[] for _ in positives]
    for user, item in pairs.tolist():
        taken[user].append(item)
    model = fitted(inputs_of(taken, 3706), 1, l2=0.007, unobserved_weight=0.3, passes=12)
    hits, gains = 0, 0.0
    assert positives[:, 0].tolist() == list(range(len(taken)))
    for start in range(0, len(taken), 1024):
        users = range(start, min(start + 1024, len(taken)))
        for user, row in zip(users, model.scores(request(users)).numpy(), strict=True):
            wanted = positives[user, 1]
            place = np.sum(row[np.setdiff1d(negatives[user], wanted)] > row[wanted])
            hits += place < 10
            gains += place < 10 and 1 / np.log2(place + 2)
    assert hits / len(taken) == pytest.approx(0.7215, abs=0.006)
    assert gains / len(taken) == pytest.approx(0.4449, abs=0.006)


def test_the_seed_decides_the_first_vectors():
    inputs = inputs_of(TAKEN, ITEMS)
    one, again, other = (
        fitted(inputs, seed, embedding_dim=3, passes=1).item_vectors_for_reasons().numpy() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    spread = first_vectors(2000, 16, 0.3, 1).numpy()
    assert np.mean(np.sum(spread**2, axis=1)) == pytest.approx(0.09, rel=0.05)


def test_a_ridge_that_is_lost_in_float32_is_refused():
    taken = [[0, 1], [0, 1]]
    with pytest.raises(ConfigError, match=r"model\.l2=1e-30: too small, the equations are singular in float32"):
        fitted(inputs_of(taken, 2), embedding_dim=4, l2=1e-30, unobserved_weight=1e-30)


# --- Explicit feedback ---

RATED = [[(0, 5.0), (1, 3.0), (2, 1.0), (1, 4.0)], [(1, 2.0), (3, 5.0)], [], [(4, 0.0), (0, 4.0), (2, 2.0)],
         [(5, 3.5)], [(3, 1.0), (1, 1.0), (0, 3.0)]]  # fmt: skip


def rated_inputs(rated=RATED, history=None):
    taken, ratings = ([[pair[at] for pair in row] for row in rated] for at in (0, 1))
    return inputs_of(taken, ITEMS, history, ratings=ratings)


def ratings_by_hand(rated, start, config):
    """(predictions, biases of items) by loops; a user's later rating of an item takes the place of an earlier one."""
    latest = [dict(row) for row in rated]
    mean = np.mean([rating for row in latest for rating in row.values()])
    items = np.hstack([start.astype(np.float64), np.zeros((len(start), 1))])
    by_item = [{user: row[item] for user, row in enumerate(latest) if item in row} for item in range(len(start))]

    def half_step(rows, others):
        vectors, biases = np.hstack([others[:, :-1], np.ones((len(others), 1))]), others[:, -1]
        ridges = [
            [config.l2 * max(len(row), 1) ** config.l2_exponent] * (others.shape[1] - 1) + [config.bias_l2]
            for row in rows
        ]
        wanted = [[(other, 1.0, rating - mean - biases[other]) for other, rating in row.items()] for row in rows]
        return solved_by_hand(wanted, vectors, np.zeros((others.shape[1],) * 2), ridges)

    for _ in range(config.passes):
        items = half_step(by_item, half_step(latest, items))
    users = half_step(latest, items)
    return mean + users[:, -1:] + items[:, -1] + users[:, :-1] @ items[:, :-1].T, items[:, -1]


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_predicted_ratings_are_those_of_plain_loops(exponent):
    config = ALSConfig(feedback="explicit", embedding_dim=3, passes=4, l2=0.1, bias_l2=0.5, l2_exponent=exponent)
    expected, biases = ratings_by_hand(RATED, first_vectors(ITEMS, 3, 0.1, 5).numpy(), config)
    model = fitted(rated_inputs(), 5, **config.model_dump())
    np.testing.assert_allclose(model.scores(request(range(len(RATED)))), expected, rtol=1e-3)
    users, items = np.divmod(np.arange(len(RATED) * ITEMS), ITEMS)
    pairs = {**request(users), ITEM_INDEX: tf.constant(items)}
    np.testing.assert_allclose(model.predicted_ratings(pairs), np.clip(expected, 0, 5).ravel(), rtol=1e-3, atol=1e-5)
    # Whoever is unknown is answered with the items' biases, what nobody rated with the mean and the user's bias.
    mean = np.mean([rating for row in RATED for rating in dict(row).values()])
    np.testing.assert_allclose(model.scores(request([None]))[0], mean + biases, rtol=1e-3)
    assert biases[ITEMS - 1] == 0
    by_towers = model.embed_users(request([3])) @ tf.transpose(
        model.embed_items({"item_id": tf.constant(np.arange(ITEMS) + 2)})
    )
    np.testing.assert_allclose(by_towers[0], expected[3], rtol=1e-3)


def test_explicit_feedback_needs_ratings():
    with pytest.raises(ConfigError, match=r"model\.feedback=explicit: the dataset has no label"):
        ALS(ALSConfig(feedback="explicit"), inputs_of(TAKEN, ITEMS))


def test_only_explicit_feedback_predicts_ratings():
    assert ALS(ALSConfig(feedback="explicit"), rated_inputs()).predicts_ratings
    assert not ALS(ALSConfig(), rated_inputs()).predicts_ratings


def test_a_new_user_s_ratings_come_with_the_request(world, tmp_path):
    history = "features.past_ratings={role: user, kind: sequence, length: 20, of: label}"
    world.dataset("rated_histories", "label={column: rating}", history)
    overrides = ("model.feedback=explicit", "model.embedding_dim=4", "model.l2=0.5", "model.passes=8")
    job = JobDirectory(tmp_path / "job")
    run_job(world.config("als", *overrides, dataset="rated_histories"), job, quiet_console())
    assert {"test/rmse", "test/ndcg_at_10"} <= set(job.read_metrics())
    model, data, _ = load_model(job)
    ids = [item_id.decode() for item_id in data.catalogue.ids]
    towers = model.embed_items({"item_id": tf.constant(data.catalogue.features["item_id"])}).numpy().astype(np.float64)
    vectors, biases = np.hstack([towers[:, :4], np.ones((len(ids), 1))]), towers[:, 4]
    labels = data.train["label"]
    rated, candidates = {3: 5.0, 50: 1.0}, [7, 60, 3]
    entries = [(item, 1.0, rating - labels.mean(dtype=np.float64) - biases[item]) for item, rating in rated.items()]
    ridge = [0.5 * 2**0.5] * 4 + [2.0]
    (user,) = solved_by_hand([entries], vectors, np.zeros((5, 5)), [ridge])
    ratings = labels.mean(dtype=np.float64) + biases + vectors @ user
    exported = tf.saved_model.load(str(export_job(job)))
    request = {
        "user_id": tf.constant(["nobody"]),
        "history": tf.constant([[ids[item] for item in rated]]),
        "past_ratings": tf.constant([[*rated.values()]]),
    }
    found = call(exported.signatures["rank"], request, candidate_ids=tf.constant([[ids[item] for item in candidates]]))
    order = sorted(candidates, key=lambda item: -ratings[item])
    assert [item_id.decode() for item_id in found["ids"][0]] == [ids[item] for item in order]
    np.testing.assert_allclose(found["scores"][0], np.clip(ratings[order], 1, 5), rtol=1e-3)
