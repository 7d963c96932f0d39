"""Losses that compare events, the calibration behind them, and the correction of what training left out: whole jobs."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import tensorflow as tf

from tests.trainer.planted_world import quiet_console
from tests.trainer.raw_rows import RawLog, call
from tests.trainer.test_trainer_resume import AskedAfter, metrics_of, require_same, state_of
from tfrec.errors import ArtifactError, ConfigError, Stopped
from tfrec.models.deepfm import DeepFM
from tfrec.models.towers.event_losses import pointwise_losses
from trainer.checks.dry_run import dry_run
from trainer.checks.preflight import preflight
from trainer.cluster.placement import Placement
from trainer.data import JobData
from trainer.evaluation.events import item_mean
from trainer.evaluation.scores import predict, ranking_scorer, scorer_of
from trainer.job import JobDirectory
from trainer.model import build_model, load_model
from trainer.report.write import write_report
from trainer.run import run_job
from trainer.training import steps
from trainer.training.source import open_source
from trainer.training.whole_rows import whole_groups

SMALL = ("model.embedding_dim=4", "model.hidden_units=[8]", "train.batch_size=700", "train.learning_rate=0.02")
PAIRWISE_OF_VALUES = (*SMALL, "model.loss=pairwise", "train.epochs=3")
PAIRWISE = (*SMALL, "model.loss=pairwise", "model.calibration=isotonic", "train.epochs=3")


@pytest.fixture(scope="module")
def job(world):
    return world.job("deepfm", *PAIRWISE)


def test_a_job_that_compares_events_of_a_user_learns_and_serves_calibrated_probabilities(world, job):
    metrics = job.read_metrics()
    model, data, _ = load_model(job)
    raw = predict(model, data.test, scorer_of(model.logits)).astype(np.float64)
    served = predict(model, data.test, ranking_scorer(model)).astype(np.float64)
    labels = data.test["label"]
    assert metrics["test/auc"] > 0.55
    assert metrics["test/log_loss"] == pytest.approx(np.mean(np.logaddexp(0, served) - labels * served), rel=1e-6)
    assert abs(scipy.special.expit(served).mean() - labels.mean()) < abs(
        scipy.special.expit(raw).mean() - labels.mean()
    )
    assert (np.diff(served[np.argsort(raw, kind="stable")]) >= -1e-6).all()  # no order is turned round
    log = RawLog(world.logs)
    events = [event for event in log.of_split("test") if event.past][:50]
    exported = tf.saved_model.load(str(job.export("deepfm") / "1"))
    found = call(exported.signatures["serving_default"], log.requests(events))["scores"]
    user = {event.user_id: event for event in events}
    rows = [r for r, u in enumerate(data.user_ids[data.test["user_index"]]) if u.decode() in user]
    by_user = dict(zip((data.user_ids[data.test["user_index"]][r].decode() for r in rows), rows, strict=True))
    expected = [scipy.special.expit(served[by_user[event.user_id]]) for event in events]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_validation_was_what_the_curve_was_fitted_on(job):
    """Isotonic: on the rows of the fit the mean prediction is the mean label, but for the ends that are pulled in."""
    metrics = job.read_metrics()
    assert abs(metrics["validation/prediction_bias"]) < 0.005
    assert metrics["protocol"]["calibration"].startswith("isotonic, fitted on validation")


def test_the_curve_is_kept_in_the_job_and_a_job_without_it_says_so(world, tmp_path):
    config = world.config("deepfm", *SMALL, "model.calibration=platt", "train.epochs=1")
    job = JobDirectory(tmp_path / "job")
    run_job(config, job, quiet_console(), must_evaluate=False)
    first = job.calibration.read_text()
    model, _, _ = load_model(job)
    assert json.loads(first) == {"kind": "platt", "curve": model.calibration.curve()}
    run_job(config, job, quiet_console(), must_evaluate=False)  # finished: fitted again on the same logits
    assert job.calibration.read_text() == first
    for content, message in (('{"kind": "isotonic"}', "is of kind isotonic"), ("{", "damaged")):
        job.calibration.write_text(content)
        with pytest.raises(ArtifactError, match=message):
            load_model(job)
    job.calibration.unlink()
    with pytest.raises(ArtifactError, match=r"calibration\.json: absent; the curve is fitted when training is over"):
        load_model(job)


def test_a_run_of_pairs_stopped_at_any_step_ends_with_the_same_weights_and_curve(world, job, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "CALL_SECONDS", 0.0)
    config, stopped = world.config("deepfm", *PAIRWISE), JobDirectory(tmp_path / "job")
    for calls in (3, 12):
        with pytest.raises(Stopped):
            run_job(config, stopped, quiet_console(), interrupt=AskedAfter(calls))
    run_job(config, stopped, quiet_console())
    require_same(state_of(job), state_of(stopped))
    assert metrics_of(stopped) == pytest.approx(metrics_of(job), nan_ok=True)


def test_a_batch_has_all_training_events_of_its_users(world):
    data, config = world.data(), world.config("deepfm", *PAIRWISE)
    model = build_model(config, data)
    source = open_source(data, model.train_columns(), config, Placement("one"))
    counts = np.bincount(data.train["user_index"])
    assert source.rows == len(data.train["label"])
    batch = next(iter(source.epoch(0)))
    assert set(batch) == {*model.train_columns(), "row:group"}
    users, found = np.unique(batch["row:group"], return_counts=True)
    assert found.tolist() == counts[counts > 0][users].tolist()
    assert np.isfinite(float(model.compute_loss(batch)))


def test_events_without_a_request_id_are_compared_with_no_other(world):
    ids = np.array([b"one", b"", b"two", b"one", b"", b"two", b""], object)
    records = {"label": np.arange(7, dtype=np.float32), "request_id": ids}
    data = SimpleNamespace(
        schema=SimpleNamespace(request=True), columns=lambda split, names: {name: records[name] for name in names}
    )
    source = whole_groups(data, ["label"], world.config("deepfm", *PAIRWISE, "train.batch_size=100"))
    batch = next(iter(source.epoch(0)))
    found = {}
    for label, group in zip(batch["label"].numpy(), batch["row:group"].numpy(), strict=True):
        found.setdefault(group, set()).add(label)
    assert sorted(map(sorted, found.values())) == [[0, 3], [1], [2, 5], [4], [6]]


def test_a_dry_run_shows_the_group_and_its_two_losses(world, tmp_path):
    found = dry_run(world.config("deepfm", *PAIRWISE), JobDirectory(tmp_path / "job"), quiet_console())
    assert found["batch"]["row:group"].startswith("int64 ")
    assert all(step["loss"] > 0 for step in found["steps"])


@pytest.mark.parametrize(
    ("overrides", "strategy", "message"),
    [
        (("train.input=stream",), "one", r"deepfm learns from whole groups of events \(model\.loss=listwise\)"),
        ((), "parameter-server", r"its workers read files of events, and deepfm learns from whole groups"),
    ],
)
def test_what_cannot_serve_whole_groups_is_refused(world, overrides, strategy, message):
    config = world.config("deepfm", "model.loss=listwise", *overrides)
    with pytest.raises(ConfigError, match=message):
        open_source(world.data(), [], config, Placement(strategy))


def test_what_cannot_be_compiled_or_fitted_is_refused_before_training(world):
    with pytest.raises(ConfigError, match=r"train\.xla: cannot compile losses that compare events"):
        preflight(
            world.config("deepfm", "model.loss=pairwise", "train.xla=true"), world.data().dataset, Placement("one")
        )
    world.dataset("unvalidated", "split={strategy: random, validation: 0, test: 0.1}")
    config = world.config(
        "deepfm", "model.calibration=platt", "train.monitor=steps", "train.steps=5", dataset="unvalidated"
    )
    with pytest.raises(
        ConfigError, match=r"model\.calibration=platt: is fitted on the validation split, and .* has none"
    ):
        preflight(config, world.data("unvalidated").dataset, Placement("one"))


def test_a_label_that_is_a_value_has_nothing_to_calibrate(world):
    world.dataset("ratings", "label={column: rating}")
    with pytest.raises(
        ConfigError, match=r"model\.calibration=platt: makes probabilities true, and the label is a value"
    ):
        build_model(world.config("deepfm", "model.calibration=platt", dataset="ratings"), world.data("ratings"))


def test_values_that_are_only_put_in_order_are_judged_by_their_order(world, tmp_path):
    world.dataset("ratings", "label={column: rating}")
    config, job = world.config("deepfm", *PAIRWISE_OF_VALUES, dataset="ratings"), JobDirectory(tmp_path / "job")
    metrics = run_job(config, job, quiet_console())
    assert metrics["test/spearman"] > 0.2
    assert metrics["train/best_spearman"] == pytest.approx(metrics["validation/spearman"])
    assert not {"test/rmse", "test/mae", "test/prediction_bias", "test/item_mean/rmse"} & metrics.keys()
    assert "spearman" in write_report(job).read_text()


# --- What training left out -------------------------------------------------------------------------------------------


def with_kept(data, share):
    """The same data, as if training had been left this share of its negatives."""
    schema = data.schema.model_copy(update={"kept_negatives": share})
    return replace(data.model_inputs, schema=schema)


@pytest.mark.parametrize(("share", "positive_weight"), [(0.1, 1.0), (None, 4.0), (0.25, 2.0)])
def test_probabilities_are_corrected_for_left_out_negatives_and_heavier_positives(world, share, positive_weight):
    """He et al. 2014, §6.3: q = p / (p + (1 − p) / w), written for probabilities; heavier positives are the same."""
    data = world.data()
    config = world.config("deepfm", *SMALL, f"model.positive_weight={positive_weight}").model
    model = DeepFM(config, with_kept(data, share))
    rows = {name: tf.constant(data.test[name]) for name in model.required_features}
    learnt = scipy.special.expit(model.logits(rows).numpy().astype(np.float64))
    w = (share or 1.0) / positive_weight
    np.testing.assert_allclose(model.predictions(rows), learnt / (learnt + (1 - learnt) / w), rtol=1e-5)


def test_the_weighted_log_loss_of_kept_rows_is_least_at_the_odds_that_the_correction_undoes():
    """One context: 30 positives, 970 negatives of which a tenth is kept, positives weigh 3."""
    labels = tf.constant([1.0] * 30 + [0.0] * 97)

    def loss(z):
        logits = tf.fill([127], tf.constant(z, tf.float32))
        return float(tf.reduce_sum(pointwise_losses(logits, labels, tf.ones([127]), 3.0, is_binary=True)))

    best = scipy.optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded").x
    corrected = best + math.log(0.1) - math.log(3)
    assert scipy.special.expit(corrected) == pytest.approx(30 / 1000, abs=1e-3)


def test_each_kept_negative_stands_for_those_left_out_in_the_items_means(world):
    data: JobData = world.data()
    kept = JobData(data.dataset)
    kept.schema = data.schema.model_copy(update={"kept_negatives": 0.5})
    labels, items = data.train["label"].astype(np.float64), data.train["item_index"]
    weights = np.where(labels == 0, 2.0, 1.0)
    overall = (weights * labels).sum() / weights.sum()
    expected = [
        (labels[items == i].sum() + 10 * overall) / (weights[items == i].sum() + 10) for i in data.test["item_index"]
    ]
    np.testing.assert_allclose(scipy.special.expit(item_mean(kept, "test")), expected, rtol=1e-6)
