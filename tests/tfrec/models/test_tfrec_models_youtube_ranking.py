"""Expected watch time: the contract, the loss by a loop, and what its odds are where the truth is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from tests.tfrec.models.field_contract import NON_DEFAULT, DeepFieldContract
from tests.tfrec.models.world_with_targets import LONG, YES, WorldWithTargets, click_rate, seconds_of_click
from tfrec.errors import ConfigError
from tfrec.models.youtube_ranking import YoutubeRanking, YoutubeRankingConfig


@pytest.fixture(scope="module")
def world(world):
    return WorldWithTargets(world)


def mean_seconds(user, item):
    """Of an impression, clicked or not."""
    return click_rate(user, item) * seconds_of_click(item)


def watched(part):
    """Seconds of each impression, 0 where it was not clicked; NaN where the log does not know."""
    return np.where(part["label"] > 0, part["seconds"], 0.0).astype(np.float64)


class TestYoutubeRanking(DeepFieldContract):
    model = "youtube_ranking"
    overrides = (
        "model.watch_time=seconds",
        "model.exact=true",
        "model.embedding_dim=8",
        "model.embedding_l2=0.002",
        "model.hidden_units=[32]",
        "model.input_dropout=0.1",
        "model.dropout=0.1",
        "train.learning_rate=0.01",
        "train.batch_size=256",
        "train.average_decay=0.99",
        "train.epochs=5",
    )
    non_default = {**NON_DEFAULT, "watch_time": "stars", "unit": 2.0, "exact": True}

    def slow_logit(self, model, vectors, weights, row):
        assert "country_x_genres" in model.fields
        return self.deep(model, vectors.reshape(-1))

    def test_the_loss_is_cross_entropy_and_the_penalties_of_the_batchs_rows_and_the_kernels(self, trained):
        """Every impression weighs 1 as a negative, a click its minutes as a positive; unknown times say nothing."""
        model, data, config = trained
        rows = {name: data.train[name][:200] for name in model.train_columns()}
        assert 0 < np.isnan(watched(rows)).sum() < 20
        tensors = {name: tf.constant(values) for name, values in rows.items()}
        losses = []
        for z, seconds in zip(model.logits(tensors).numpy().astype(np.float64), watched(rows), strict=True):
            losses.append(0.0 if math.isnan(seconds) else seconds / 60 * softplus(-z) + softplus(z))
        vectors = model.embed(tensors).vectors.numpy().astype(np.float64)
        penalty = config.model.embedding_l2 * np.mean([(of_row**2).sum() for of_row in vectors])
        penalty += config.model.kernel_l2 * sum((kernel.numpy() ** 2).sum() / 2 for kernel in model._mlp.kernels)
        assert float(model.compute_loss(tensors)) == pytest.approx(np.mean(losses) + penalty, rel=1e-5)

    def test_predictions_are_probabilities_of_the_logits(self, trained):
        """They are odds, in units of watch time."""
        model, data, _ = trained
        tensors = self.encoded_rows(model, data)[0]
        expected = 60 * np.exp(model.logits(tensors).numpy().astype(np.float64))
        np.testing.assert_allclose(self.answer(model, tensors), expected, rtol=1e-5)

    @pytest.fixture(scope="class")
    def truth(self, trained, log):
        """Of each test impression the true mean watch time."""
        model, data, _ = trained
        pairs = zip(*self.encoded_rows(model, data)[1:], strict=True)
        return np.array([mean_seconds(log.users[user], log.items[item]) for user, item in pairs])

    def test_it_beats_the_items_mean_label_on_the_planted_world(self, trained, truth, job):
        """By far in AUC; its errors are nearer to those of the true mean times than to those of the items' means."""
        _, data, _ = trained
        metrics = job.read_metrics()
        for split in ("validation", "test"):
            assert metrics[f"{split}/auc"] > metrics[f"{split}/item_mean/auc"] + 0.1
        assert "test/log_loss" not in metrics
        train, test = watched(data.train), watched(data.test)
        known, items = np.isfinite(train), data.train["item_index"]
        overall, size = train[known].mean(), data.catalogue.size
        sums = np.bincount(items[known], weights=train[known], minlength=size) + 10 * overall
        means = sums / (np.bincount(items[known], minlength=size) + 10)
        of_items, of_truth = (
            math.sqrt(np.nanmean((test - predicted) ** 2)) for predicted in (means[data.test["item_index"]], truth)
        )
        assert metrics["test/watch_time_rmse"] < (of_items + of_truth) / 2 < of_items - 3

    def test_predictions_are_the_true_mean_watch_times(self, trained, truth):
        """Half of the impressions are clicked: without `exact` they would be twice as large."""
        model, data, _ = trained
        found = self.answer(model, self.encoded_rows(model, data)[0])
        assert np.corrcoef(found, truth)[0, 1] > 0.8
        assert found.mean() == pytest.approx(truth.mean(), rel=0.15)
        assert found[truth > 60].mean() == pytest.approx(YES * LONG, rel=0.3)
        assert found[truth < 20].mean() < found[truth > 60].mean() / 3

    def test_auc_is_the_share_of_watch_time_that_is_ordered_right(self, trained, job):
        model, data, _ = trained
        scores, labels = self.answer(model, self.encoded_rows(model, data)[0]), data.test["label"]
        right = total = 0.0
        for row in np.flatnonzero(labels):
            if math.isnan(data.test["seconds"][row]):
                continue
            below = (scores[labels == 0] < scores[row]).sum() + 0.5 * (scores[labels == 0] == scores[row]).sum()
            right += data.test["seconds"][row] * below
            total += data.test["seconds"][row] * (labels == 0).sum()
        assert job.read_metrics()["test/auc"] == pytest.approx(right / total, rel=1e-5)


def bare(exact, kept=None, weight=None, unit=3.0):
    """A model without a network."""
    return SimpleNamespace(
        config=YoutubeRankingConfig(watch_time="seconds", unit=unit, exact=exact),
        inputs=SimpleNamespace(schema=SimpleNamespace(kept_negatives=kept, weight=weight)),
        _column="seconds",
        _has_weights=weight is not None,
    )


def loss_of(model, inputs, logits):
    return float(YoutubeRanking._data_loss(model, inputs, logits))


def softplus(z):
    return math.log1p(math.exp(z))


@pytest.mark.parametrize("exact", [False, True])
def test_positives_weigh_their_watch_time_and_negatives_1(exact):
    rows = [(0.3, 1, 6.0, 1.0), (-0.5, 0, 99.0, 2.0), (1.0, 1, math.nan, 1.0), (0.0, 0, math.nan, 0.5), (2.0, 1, -1, 1)]
    logits, labels, seconds, weights = (tf.constant(np.float32(column)) for column in zip(*rows, strict=True))
    inputs = {"label": labels, "seconds": seconds, "weight": weights}
    expected = 0.0
    for z, y, t, w in rows:
        if y and math.isnan(t):
            continue
        as_negative = 1 if exact or not y else 0
        expected += w * (y * (max(t, 0) / 3 if y else 0) * softplus(-z) + as_negative * softplus(z))
    assert loss_of(bare(exact, weight="w"), inputs, logits) == pytest.approx(expected / len(rows), rel=1e-5)


@pytest.mark.parametrize("kept", [None, 0.25])
def test_exact_odds_are_the_mean_watch_time_and_the_papers_are_that_over_the_share_of_negatives(kept):
    """One context: half of the impressions are watched, for 4 s or 8 s; a share of the negatives may be left out."""
    truth, negatives = 3.0, 0.5  # mean over all impressions; share of negatives
    copies = 1 if kept is None else int(1 / kept)
    labels = np.float32([1, 1] * copies + [0, 0])
    seconds = np.float32([4, 8] * copies + [0, 0])
    for exact, expected in ((True, truth), (False, truth / negatives)):
        model = bare(exact, kept)

        def value(z, model=model):
            logits = tf.fill([len(labels)], tf.constant(z, tf.float32))
            return loss_of(model, {"label": tf.constant(labels), "seconds": tf.constant(seconds)}, logits)

        best = scipy.optimize.minimize_scalar(value, bounds=(-6, 6), method="bounded").x
        assert 3.0 * math.exp(best + YoutubeRanking.logit_shift.fget(model)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"youtube_ranking: the dataset has no watch time; add it to 'targets'"),
        ({"watch_time": "second"}, r"model\.watch_time: no target 'second'.*did you mean 'seconds'"),
        ({"watch_time": "like"}, r"model\.watch_time: 'like' is 0 or 1, no time"),
        (
            {"watch_time": "seconds", "positive_weight": 3},
            r"model\.positive_weight=3\.0: youtube_ranking learns watch time",
        ),
    ],
)
def test_what_says_no_watch_time_is_refused(world, config, message):
    with pytest.raises(ConfigError, match=message):
        YoutubeRanking(YoutubeRankingConfig(**config), world.data().model_inputs)
