"""The evidence lower bound against integrals in NumPy, content for what is new, exploration, and the contract."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts import PersonalContract
from tests.tfrec.models.small_training import train
from tests.tfrec.models.taken_items import FIRST_ID, inputs_of, request
from tests.trainer.planted_world import quiet_console
from tfrec.dataset.interactions import Interactions
from tfrec.models.bayesian_mf import BayesianMF, BayesianMFConfig
from tfrec.schema import ITEM_INDEX, USER_INDEX
from tfrec.simulation.policies import Greedy, Uniform
from tfrec.simulation.state import State
from tfrec.simulation.traffic import serve
from tfrec.simulation.value import true_value
from tfrec.simulation.world import World, WorldConfig
from trainer.export import export_job
from trainer.job import JobDirectory
from trainer.run import run_job

NON_DEFAULT = {
    "embedding_dim": 7,
    "user_features": ["country", "age"],
    "item_features": ["genres"],
    "use_history": False,
    "history_half_life": 2.5,
    "kl_weight": 0.5,
    "prior_stddev": 0.25,
    "posterior_stddev": 0.2,
    "embedding_stddev": 0.5,
    "negatives": {"kind": "hard", "n": 33, "alpha": 0.5, "pool": 3},
    "exploration": {"kind": "ucb", "strength": 0.5},
}
QUICK = ("train.learning_rate=0.01", "train.epochs=15", "model.embedding_dim=32")


class TestBayesianMF(PersonalContract):
    model = "bayesian_mf"
    overrides = QUICK
    non_default = NON_DEFAULT
    signatures = PersonalContract.signatures | {"user_embedding", "item_embedding"}
    favourite_genre_share, favourite_genre_gain = 0.5, 3.0


class TestBayesianMFWithFeaturesAndConfidenceBounds(PersonalContract):
    model = "bayesian_mf"
    overrides = (
        *QUICK,
        "model.user_features=[country, age, age_in_years, country_hash]",
        "model.item_features=[genres]",
        "model.exploration.kind=ucb",
        "model.exploration.strength=0.2",
    )
    non_default = NON_DEFAULT
    has_content = True
    favourite_genre_share, favourite_genre_gain = 0.5, 3.0


# --- The bound ---

TAKEN, TAKEN_ITEMS = [[0, 0, 1], [2, 1]], 3


def tiny(seed=1, **config):
    """Two users and three items of one coordinate, and an item that nobody took; every weight is drawn anew."""
    inputs = inputs_of(TAKEN, TAKEN_ITEMS + 1)
    model = BayesianMF(
        BayesianMFConfig(**{"embedding_dim": 1, "negatives": {"kind": "catalogue"}, **config}), inputs, seed
    )
    random = np.random.default_rng(8)
    for table in (model._user_table, model._item_table):
        table._offsets.assign(random.normal(0, 1, table._offsets.shape))
        table._log_stddevs.assign(random.normal(-0.7, 0.3, table._log_stddevs.shape))
        table._prior.assign(random.normal(-0.2, 0.3, table._prior.shape))
    return model


def all_events(repeats=1):
    users = np.repeat([0, 1], [len(row) for row in TAKEN])
    rows = {USER_INDEX: users, ITEM_INDEX: np.concatenate(TAKEN), "user_id": users + FIRST_ID}
    return {name: tf.constant(np.tile(values, repeats)) for name, values in rows.items()}


def losses(model, batch, steps):
    """The loss of the batch at each of some steps, whose draws differ."""
    model.optimizer = SimpleNamespace(iterations=tf.Variable(0, dtype=tf.int64))

    @tf.function
    def at_all_steps():
        found = tf.TensorArray(tf.float32, steps)
        for step in tf.range(steps):
            found = found.write(step, model.compute_loss(batch, training=True))
            model.optimizer.iterations.assign_add(1)
        return found.stack()

    return at_all_steps().numpy().astype(float)


def gaussian(table, row):
    return table._offsets.numpy()[FIRST_ID + row].astype(float), np.exp(table._log_stddevs.numpy()[FIRST_ID + row])


def expected_log_probability(model, user, item):
    """E[log softmax] of one event by Gauss-Hermite quadrature over u and, given u, over the independent scores."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    weights = weights / weights.sum()
    (m,), (s,) = gaussian(model._user_table, user)
    total = 0.0
    for node, weight in zip(nodes, weights, strict=True):
        u = m + s * node
        scores, products = [], weight
        for other in range(TAKEN_ITEMS):
            (mean, bias), (stddev, bias_stddev) = gaussian(model._item_table, other)
            spread = np.sqrt((u * stddev) ** 2 + bias_stddev**2)
            shape = [-1 if axis == other else 1 for axis in range(TAKEN_ITEMS)]
            scores.append((u * mean + bias + spread * nodes).reshape(shape))
            products = products * weights.reshape(shape)
        log_normaliser = np.log(sum(np.exp(score) for score in scores))
        total += (products * (scores[item] - log_normaliser)).sum()
    return total


def divergences(model, table, rows):
    """Sum over rows and coordinates of the Kullback-Leibler divergence from the prior."""
    prior, total = np.exp(table._prior.numpy().astype(float)), 0.0
    for row in range(rows):
        for offset, stddev, sigma in zip(*gaussian(table, row), prior, strict=True):
            total += np.log(sigma / stddev) + (stddev**2 + offset**2) / (2 * sigma**2) - 0.5
    return total


@pytest.mark.parametrize("kl_weight", [1.0, 0.25])
def test_the_mean_loss_is_the_negative_evidence_lower_bound_per_event(kl_weight):
    model = tiny(kl_weight=kl_weight)
    events = [(user, item) for user, row in enumerate(TAKEN) for item in row]
    bound = sum(expected_log_probability(model, user, item) for user, item in events)
    bound -= kl_weight * divergences(model, model._user_table, 2)
    bound -= kl_weight * divergences(model, model._item_table, TAKEN_ITEMS)
    found = losses(model, all_events(repeats=10), steps=300)
    error = found.std() / np.sqrt(len(found))
    assert error < 0.02
    assert abs(found.mean() + bound / len(events)) < 4 * error


@pytest.mark.parametrize("negatives", [{"kind": "uniform", "n": 2}, {"kind": "popularity", "n": 2}])
def test_divergences_of_drawn_candidates_stand_for_those_of_all_items(negatives):
    with_divergence, without = (losses(tiny(kl_weight=w, negatives=negatives), all_events(), 300) for w in (1.0, 0.0))
    model = tiny()
    expected = divergences(model, model._user_table, 2) + divergences(model, model._item_table, TAKEN_ITEMS)
    found = with_divergence - without  # of the same draws
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - expected / 5) < 4 * error + 1e-4


def test_an_event_has_its_users_divergence_by_the_users_number_of_events_and_a_share_of_the_items():
    with_divergence, without = (tiny(kl_weight=weight) for weight in (1.0, 0.0))
    of_items = divergences(with_divergence, with_divergence._item_table, TAKEN_ITEMS) / 5
    both = divergences(with_divergence, with_divergence._user_table, 2)
    first = divergences(with_divergence, with_divergence._user_table, 1)
    for row, expected in ((0, first / 3), (4, (both - first) / 2)):
        event = {name: values[row : row + 1] for name, values in all_events().items()}
        found = float(with_divergence.compute_loss(event)) - float(without.compute_loss(event))  # of the same draws
        assert found == pytest.approx(expected + of_items, rel=1e-4)


def test_unknown_users_and_items_have_the_prior():
    model = tiny()
    model.refresh()
    users = model._users(request([None, 0])).vectors
    np.testing.assert_allclose(users.mean[0], [0.0], atol=1e-7)
    np.testing.assert_allclose(users.log_stddev[0], model._user_table._prior, rtol=1e-6)
    (mean,), (stddev,) = gaussian(model._user_table, 0)
    np.testing.assert_allclose([users.mean[1, 0], users.variance[1, 0]], [mean, stddev**2], rtol=1e-5)
    new = model._item_table(tf.constant([1]), tf.constant([[0.5, 0.25]]))
    np.testing.assert_allclose(new.vectors.mean, [[0.5, 0.25]])
    np.testing.assert_allclose(new.vectors.log_stddev[0], model._item_table._prior, rtol=1e-6)
    np.testing.assert_allclose(new.divergence, [0.0], atol=1e-6)


def test_biases_start_with_the_log_of_the_counts():
    found = BayesianMF(BayesianMFConfig(embedding_dim=1), inputs_of(TAKEN, 4))._item_table.offsets.numpy()[:, -1]
    logs = np.log([2, 2, 1])
    np.testing.assert_allclose(found, [0, 0, *(logs - logs.mean()), 0], atol=1e-6)


# --- What is new ---


@pytest.fixture(scope="module")
def held_out(world):
    """(model, inputs, taken): trained without any event of every eighth item and user; taken bool [users, items]."""
    data = world.data()
    inputs, records = data.model_inputs, data.train
    taken = np.zeros((inputs.num_users, inputs.num_items), bool)
    taken[records[USER_INDEX], records[ITEM_INDEX]] = True
    kept = (records[ITEM_INDEX] % 8 != 0) & (records[USER_INDEX] % 8 != 0)
    records = {name: values[kept] for name, values in records.items()}
    features = {name: values.copy() for name, values in inputs.catalogue.features.items()}
    features["item_id"][::8] = 1  # as what no vocabulary has
    inputs = replace(
        inputs,
        catalogue=replace(inputs.catalogue, features=features),
        train=Interactions.from_records(records, inputs.num_users, inputs.num_items),
    )
    config = BayesianMFConfig(embedding_dim=16, item_features=["genres"], user_features=["country"], use_history=False)
    model = BayesianMF(config, inputs)
    train(model, records, epochs=25)
    return model, data, taken


def area_under_curve(scores, wanted):
    """The probability that a wanted item scores above another, over all pairs."""
    higher, lower = scores[wanted][:, None], scores[~wanted][None, :]
    return np.mean(higher > lower) + np.mean(higher == lower) / 2


def test_items_that_were_held_out_are_ranked_by_their_features_above_chance(held_out):
    model, data, taken = held_out
    new = np.arange(0, 120, 8)
    users = [user for user in range(300) if user % 8 and 0 < taken[user, new].sum() < len(new)]
    scores = model.scores({name: tf.constant(of_users(data, users)[name]) for name in model.required_features}).numpy()
    areas = [area_under_curve(row[new], taken[user, new]) for user, row in zip(users, scores, strict=True)]
    print(f"{np.mean(areas):.3f} of {len(users)} users")
    assert len(users) > 150
    assert np.mean(areas) > 0.5 + 4 * np.std(areas) / np.sqrt(len(areas))
    assert np.mean(areas) > 0.7


def test_users_who_were_held_out_are_answered_by_their_features_better_than_by_popularity(held_out):
    model, data, taken = held_out
    users, known = np.arange(0, 300, 8), [item for item in range(120) if item % 8]
    features = of_users(data, users)
    features["user_id"] = np.full(len(users), 1)
    scores = model.scores({name: tf.constant(features[name]) for name in model.required_features}).numpy()
    counts = model.inputs.train.item_counts()
    areas, popular = (
        np.mean([area_under_curve(row[known], taken[user, known]) for user, row in zip(users, by, strict=True)])
        for by in (scores, np.tile(counts, (len(users), 1)))
    )
    print(f"{areas:.3f}, popularity {popular:.3f}")
    assert areas > popular > 0.5


def of_users(data, users):
    """Encoded features of users by index, from the first of their test events."""
    records = data.test
    first = {user: row for row, user in reversed(list(enumerate(records[USER_INDEX].tolist())))}
    return {name: values[[first[user] for user in users]] for name, values in records.items()}


# --- Exploration ---


def test_an_exported_model_draws_anew_for_each_request(world, tmp_path):
    job = JobDirectory(tmp_path / "job")
    config = world.config("bayesian_mf", "train.steps=2", "model.embedding_dim=4", "model.exploration.kind=thompson")
    run_job(config, job, quiet_console(), must_evaluate=False)
    loaded = tf.saved_model.load(str(export_job(job)))
    recommend = loaded.signatures["recommend"]
    lists = {name: tf.constant([[""]]) for name in ("history", "exclude_ids", "allow_ids")}

    def scores():
        found = recommend(
            user_id=tf.constant(["u00003"]), k=tf.constant([121]), exclude_seen=tf.constant([False]), **lists
        )
        return dict(zip(found["ids"].numpy()[0], found["scores"].numpy()[0], strict=True))

    draws = [scores() for _ in range(100)]
    assert len({tuple(sorted(draw.items())) for draw in draws}) == 100
    per_item = np.array([[draw[item] for item in draws[0]] for draw in draws])
    assert (per_item.std(axis=0) > 0).all()
    assert "user_embedding" not in loaded.signatures


@pytest.fixture(scope="module")
def after_one_round():
    """A simulated world after a round of random lists, when new items have come; and the records of its clicks."""
    config = WorldConfig(users=200, items=80, late_items=0.3, arrival_rounds=1, user_churn=0.0)
    state = State.at_start(World(config, seed=3))
    log = serve(state, Uniform(), lambda requests: np.zeros((len(requests), 80)), moments=6, seed=3).log
    state.next_round()
    users, items = log.user[log.clicked], log.item[log.clicked]
    records = {USER_INDEX: users, ITEM_INDEX: items, "user_id": users + FIRST_ID}
    inputs = inputs_of([items[users == user].tolist() for user in range(200)], 80)
    is_known = inputs.train.item_counts() > 0
    ids = np.where(is_known, inputs.catalogue.features["item_id"], 1)  # as of items that no vocabulary has
    return state, replace(inputs, catalogue=replace(inputs.catalogue, features={"item_id": ids})), records


def test_exploration_shows_new_items_and_more_of_the_catalogue_for_little_of_the_reward(after_one_round):
    state, inputs, records = after_one_round
    trained, shown, reward = None, {}, {}
    for kind in ("none", "ucb", "thompson"):
        exploration = {"kind": kind, "strength": 1.0 if kind == "thompson" else 2.0}
        config = BayesianMFConfig(embedding_dim=4, negatives={"kind": "catalogue"}, exploration=exploration)
        model = BayesianMF(config, inputs)
        if trained is None:
            trained = model
            train(trained, records, epochs=100, batch_size=128, learning_rate=0.03)
        for target, source in zip(model.state, trained.state, strict=False):  # the last one of thompson is its counter
            target.assign(source)
        answer = tf.function(model.scores, reduce_retracing=True)

        def scorer(requests, answer=answer):
            return answer(request(requests.user_ids)).numpy().astype(float)

        served = serve(state.copy(), Greedy(), scorer, moments=6, seed=3)
        shown[kind] = np.bincount(served.log.item, minlength=80)
        reward[kind] = served.expected_clicks / served.requests
    is_new = state.world.arrival_round > 0
    coverage = {kind: np.mean(counts > 0) for kind, counts in shown.items()}
    share_of_new = {kind: counts[is_new].sum() / counts.sum() for kind, counts in shown.items()}
    random = true_value(state, Uniform(), lambda requests: np.zeros((len(requests), 80)))
    print(coverage, share_of_new, reward, random)
    assert coverage["thompson"] > 2 * coverage["none"]
    assert min(share_of_new["thompson"], share_of_new["ucb"]) > share_of_new["none"]
    assert reward["thompson"] > random
