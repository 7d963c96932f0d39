"""Samplers against their stated probabilities, and what the correction by them is for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import chisquare

from tfrec.losses import KnownPositives, sampled_softmax
from tfrec.negatives import NegativesConfig, make_sampler
from tfrec.negatives.hard import mean_softmax, resample
from tfrec.negatives.item_sampler import ItemSampler

COUNTS = np.array([0, 1, 1, 2, 5, 9, 30, 100, 400, 3])


def seed_of(number):
    return tf.constant([17, number], tf.int32)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.75, 1.0])
def test_items_are_drawn_as_often_as_their_probability_says(alpha):
    sampler = ItemSampler.by_popularity(COUNTS, alpha)
    expected = np.array([c**alpha for c in COUNTS.tolist()])
    expected = expected / expected.sum()
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(sampler.log_probability(tf.range(10)), np.log(expected), rtol=1e-6)
    frequency = np.bincount(sampler.draw(20_000, seed_of(1)).numpy(), minlength=10)
    possible = expected > 0
    assert not frequency[~possible].any()
    assert chisquare(frequency[possible], 20_000 * expected[possible]).pvalue > 0.01


def test_rare_items_of_a_long_catalogue_keep_their_share():
    counts = np.ones(2_000_000)
    counts[0] = 1e12  # what is left for the others is below a step of float32 in a cumulative sum
    drawn = ItemSampler(counts).draw(3_000_000, seed_of(2)).numpy()
    assert (drawn > 0).sum() == pytest.approx(3_000_000 * 2e6 / 1e12, abs=15)
    uniform = ItemSampler.uniform(2_000_000).draw(200_000, seed_of(3)).numpy()
    assert chisquare(np.bincount(uniform // 20_000, minlength=100)).pvalue > 0.01


def test_the_same_seed_draws_the_same_and_another_one_does_not():
    sampler = ItemSampler.uniform(1000)
    one, again, other = (sampler.draw(50, seed_of(n)).numpy() for n in (1, 1, 2))
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()


def any_scorer(items, offsets):
    """A model that likes items of a high index."""
    return tf.nn.softmax(tf.cast(items, tf.float32) * 0.4 + offsets)


@pytest.mark.parametrize("kind", ["in_batch", "uniform", "popularity", "mixed", "hard", "catalogue"])
def test_every_item_counts_once_in_expectation(kind):
    """So a sum over the negatives, weighted by n_j / Q_j, estimates the sum over the catalogue without bias."""
    sampler = make_sampler(NegativesConfig(kind=kind, n=6, alpha=0.5, pool=3), COUNTS)
    rng, rounds = np.random.default_rng(4), 3000
    total = np.zeros((rounds, 10))

    @tf.function
    def draw(batch, seed):
        return sampler.draw(batch, batch, seed, any_scorer)

    for number in range(rounds):
        batch = rng.choice(10, 20, p=COUNTS / COUNTS.sum())
        found = draw(tf.constant(batch), seed_of(number))
        assert len(set(found.items.numpy())) == len(found.items)
        total[number, found.items] = np.exp(found.log_weights)
    can_be_drawn = COUNTS > 0 if kind in ("in_batch", "popularity", "hard", "mixed") else COUNTS >= 0
    assert not total[:, ~can_be_drawn].any()
    mean, error = total.mean(0), total.std(0) / np.sqrt(rounds)
    assert (np.abs(mean - 1)[can_be_drawn] <= 4 * error[can_be_drawn] + 1e-6).all()


def test_log_weights_are_counts_over_expected_counts():
    """By hand, for a batch of six and the drawn items as they came."""
    batch = tf.constant([8, 8, 7, 5, 8, 7], tf.int64)
    share = COUNTS / COUNTS.sum()
    found = make_sampler(NegativesConfig(kind="in_batch"), COUNTS).draw(batch[:2], batch, seed_of(0), any_scorer)
    assert found.items.numpy().tolist() == [8, 7, 5]
    np.testing.assert_allclose(found.log_weights, np.log([3, 2, 1] / (6 * share[[8, 7, 5]])), rtol=1e-5)
    np.testing.assert_allclose(found.positive_offsets, -np.log(6 * share[[8, 8]]), rtol=1e-5)
    config = NegativesConfig(kind="mixed", n=5, alpha=0)
    found = make_sampler(config, COUNTS).draw(batch[:2], batch, seed_of(0), any_scorer)
    drawn = ItemSampler.uniform(10).draw(5, seed_of(0)).numpy()
    counts = np.bincount([*batch.numpy(), *drawn], minlength=10)
    expected = np.log(counts / (6 * share + 5 * 0.1), where=counts > 0, out=np.zeros(10))
    np.testing.assert_allclose(found.log_weights, expected[found.items], rtol=1e-5)


def test_hard_negatives_are_likelier_than_their_pool():
    likelihood = tf.nn.softmax(tf.linspace(0.0, 8.0, 200))
    kept, log_weights = resample(likelihood, 40, seed_of(1))
    assert likelihood.numpy()[kept].mean() > 2 * likelihood.numpy().mean()
    assert len(set(kept.numpy())) == len(kept)
    assert np.isfinite(log_weights).all()


def test_the_pool_is_scored_by_the_mean_softmax_of_the_queries_without_a_gradient():
    rng = np.random.default_rng(5)
    query, vectors, offsets = (rng.normal(size=shape).astype(np.float32) for shape in ((7, 3), (5, 3), (5,)))
    expected = np.zeros(5)
    for row in query:
        odds = np.exp(vectors @ row + offsets)
        expected += odds / odds.sum() / 7
    q = tf.constant(query)
    with tf.GradientTape() as tape:
        tape.watch(q)
        found = mean_softmax(q, tf.constant(vectors), tf.constant(offsets))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert tape.gradient(found, q) is None


def gradient_errors(n, corrected, rounds=30):
    """Distance of the sampled loss's gradient (mean over draws) from that of the softmax over the whole catalogue."""
    rng = np.random.default_rng(6)
    counts = rng.integers(1, 60, 300)
    items, query = (tf.constant(rng.normal(size=(m, 8)), tf.float32) for m in (300, 20))
    positives = tf.constant(rng.choice(300, 20, p=counts / counts.sum()))
    known = KnownPositives.of_rows(positives)

    def gradient(ids, log_weights):
        with tf.GradientTape() as tape:
            tape.watch(query)
            loss = sampled_softmax(
                query, tf.gather(items, positives), tf.gather(items, ids), ids, log_weights, known, num_items=300
            )
        return tape.gradient(loss, query).numpy()

    exact = gradient(tf.range(300, dtype=tf.int64), tf.zeros([300]))
    sampler = make_sampler(NegativesConfig(kind="popularity", n=n, alpha=1.0), counts)
    log_share = ItemSampler(counts).log_probability(tf.range(300))
    found = []
    for number in range(rounds):
        drawn = sampler.draw(positives, positives, seed_of(number), any_scorer)
        weights = drawn.log_weights
        if not corrected:  # as if all items were drawn alike
            weights += tf.gather(log_share, drawn.items) + np.log(300)
        found.append(gradient(drawn.items, weights))
    return np.linalg.norm(np.mean(found, axis=0) - exact) / np.linalg.norm(exact)


def test_the_corrected_gradient_approaches_that_of_the_full_softmax_as_n_grows():
    few, many = gradient_errors(30, corrected=True), gradient_errors(3000, corrected=True)
    assert many < 0.05
    assert many < few / 3
    assert many < gradient_errors(3000, corrected=False) / 2


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_processes")
def test_loss_and_gradients_are_those_of_one_device_on_two_replicas(world):
    """In a process of its own: logical devices are set up before TensorFlow starts."""
    script = Path(__file__).parent / "replicas_process.py"
    command = [sys.executable, str(script), str(world.dataset())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("same: ")]
    assert len(lines) == 9, done.stdout
