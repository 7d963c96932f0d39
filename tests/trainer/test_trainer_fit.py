"""The training loop: which epoch is kept, when it stops, and that going on is the same as not having stopped."""

import io
import math
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from tests.trainer.planted_world import quiet_console
from tfrec.dataset.batches import Batches
from tfrec.errors import ArtifactError, DataError, Stopped
from trainer.evaluation.metrics import evaluate_job
from trainer.job import JobDirectory
from trainer.model import build_model, load_model
from trainer.run import make_deterministic, run_job
from trainer.training.checkpoints import restore_best
from trainer.training.fit import Trainer
from trainer.watch.progress import EpochProgress

QUICK = ("train.epochs=4", "train.batch_size=2048", "model.embedding_dim=4", "model.user_id_dropout=0")


@pytest.fixture(scope="module")
def data(world):
    return world.data()


@pytest.fixture
def trainer_of(world, data, tmp_path):
    """Make a trainer on the planted world whose validation metric is what `values` gives, epoch by epoch."""

    def make(values, *overrides, monitor="ndcg_at_10", job="job"):
        make_deterministic(1)
        config = world.config("two_tower", *QUICK, *overrides)
        model = build_model(config, data)
        columns = {name: data.train[name] for name in sorted(model.train_columns())}
        seen = []
        remaining = iter(values)

        def validate():
            seen.append([variable.numpy().copy() for variable in model.trainable_variables])
            value = next(remaining)
            if isinstance(value, BaseException):
                raise value
            return {monitor: value}

        directory = JobDirectory(tmp_path / job)
        batches = Batches(columns, config.train.batch_size, config.seed)
        console = Console(file=io.StringIO())
        progress = EpochProgress(console)
        trainer = Trainer(model, batches, config.train, directory, validate, monitor, progress)
        return trainer, model, seen, console, directory

    return make


def weights_of(model):
    return [variable.numpy() for variable in model.trainable_variables]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("monitor", "values", "best", "average"),
    [
        ("ndcg_at_10", [0.1, 0.4, 0.3, 0.2], 2, "null"),
        ("ndcg_at_10", [0.1, 0.4, 0.3, 0.2], 2, "0.9"),
        ("ndcg_at_10", [0.0, 0.0, 0.0, 0.0], 1, "null"),
        ("log_loss", [0.9, 0.5, 0.7, 0.8], 2, "null"),
        ("rmse", [0.1, 1.0, 0.5, 0.2], 1, "0.9"),
    ],
)
def test_the_weights_of_the_best_epoch_are_kept_not_the_last(trainer_of, monitor, values, best, average):
    trainer, model, seen, _, directory = trainer_of(
        values, f"train.average_decay={average}", "train.patience=9", monitor=monitor
    )
    result = trainer.run()
    assert (result["epochs"], result["best_epoch"], result[f"best_{monitor}"]) == (4, best, values[best - 1])
    assert same(weights_of(model), seen[best - 1])
    assert not any(same(seen[best - 1], other) for epoch, other in enumerate(seen, start=1) if epoch != best)
    for variable in model.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    restore_best(model, directory)
    assert same(weights_of(model), seen[best - 1])


@pytest.mark.parametrize(
    ("values", "patience", "epochs", "best"),
    [
        ([0.1, 0.3, 0.2, 0.25], 2, 4, 2),
        ([0.3, 0.2, 0.9, 0.9], 1, 2, 1),
        ([0.3, 0.2, 0.4, 0.1], 2, 4, 3),
    ],
)
def test_training_stops_after_patience_epochs_without_a_gain(trainer_of, values, patience, epochs, best):
    trainer, _, seen, _, _ = trainer_of(values, f"train.patience={patience}", "train.epochs=4")
    result = trainer.run()
    assert (len(seen), result["epochs"], result["best_epoch"]) == (epochs, epochs, best)


@pytest.mark.parametrize("average", ["null", "0.9"])
def test_an_interrupted_run_goes_on_as_if_it_had_not_stopped(trainer_of, average):
    values = [0.2, 0.5, 0.1, 0.3]
    overrides = (f"train.average_decay={average}", "train.patience=9")
    whole, _, of_whole, _, _ = trainer_of(values, *overrides, job="whole")
    expected = whole.run()
    first, _, of_first, _, _ = trainer_of([*values[:2], KeyboardInterrupt()], *overrides)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second, model, of_second, console, _ = trainer_of(values[2:], *overrides)
    result = second.run()
    assert "resuming after epoch 2" in console.file.getvalue()
    # The third epoch was broken off after its steps, so it was run again, from the state after the second.
    for epoch, (one, other) in enumerate(zip(of_whole, of_first[:2] + of_second, strict=True), start=1):
        assert same(one, other), f"epoch {epoch}"
    assert (result["epochs"], result["best_epoch"], result["best_ndcg_at_10"]) == (4, 2, 0.5)
    assert result.keys() == expected.keys()
    assert same(weights_of(model), of_whole[1])


def test_a_signal_ends_a_long_validation_at_once_and_it_is_made_again(trainer_of):
    """Averaged weights are in the place of the trained ones while it runs."""

    class Signalled:
        def __iter__(self):
            yield 0.2
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("validation went on")

    overrides = ("train.average_decay=0.9", "train.patience=9")
    whole, _, of_whole, _, _ = trainer_of([0.2, 0.5, 0.1, 0.3], *overrides, job="whole")
    whole.run()
    first, _, of_first, _, _ = trainer_of(Signalled(), *overrides)
    with pytest.raises(Stopped, match=r"stopped at step \d+ \(epoch 2\) and saved"):
        first.run()
    second, _, of_second, _, _ = trainer_of([0.5, 0.1, 0.3], *overrides)
    assert second.run()["best_epoch"] == 2
    for one, other in zip(of_whole, [of_first[0], *of_second], strict=True):
        assert same(one, other)


def test_patience_counts_over_an_interruption(trainer_of):
    first, *_ = trainer_of([0.5, 0.4, KeyboardInterrupt()], "train.patience=2")
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second, _, seen, _, _ = trainer_of([0.3, 0.9], "train.patience=2")
    assert second.run()["epochs"] == 3
    assert len(seen) == 1


def test_a_finished_run_is_not_trained_again_and_keeps_its_times(trainer_of):
    first, model, _, _, _ = trainer_of([0.1, 0.4, 0.3, 0.2])
    expected = first.run()
    second, again, seen, console, _ = trainer_of([])
    assert second.run() == expected
    assert not seen
    assert "epoch   " not in console.file.getvalue()
    assert same(weights_of(model), weights_of(again))


def test_a_metric_that_is_not_defined_is_a_clear_error(trainer_of):
    trainer, *_ = trainer_of([math.nan])
    with pytest.raises(DataError, match="validation ndcg_at_10 is not defined on this split; choose another"):
        trainer.run()


def test_a_loss_that_is_not_finite_is_a_clear_error_and_the_directory_can_be_used_again(world, tmp_path):
    job = JobDirectory(tmp_path / "job")
    wild = world.config("two_tower", *QUICK, "train.optimizer=sgd", "train.learning_rate=1e30")
    with pytest.raises(
        DataError, match=r"the loss became (nan|inf) in epoch 1, step \d+, whose batch is in .*; lower "
    ):
        run_job(wild, job, quiet_console())
    run_job(world.config("two_tower", *QUICK, "train.epochs=1"), job, quiet_console())
    assert job.read_metrics()["train/epochs"] == 1


def test_a_job_without_a_finished_epoch_cannot_be_loaded(world, tmp_path):
    job = JobDirectory(tmp_path)
    world.config("two_tower", *QUICK).save(job.config)
    with pytest.raises(ArtifactError, match="no finished epoch"):
        load_model(job)


def test_the_loaded_and_exported_weights_are_those_of_the_best_epoch(world, tmp_path):
    """On the planted world itself, with real validation: the best epoch is not the last."""
    config = world.config(
        "two_tower", "train.epochs=6", "train.learning_rate=0.2", "train.patience=6", "train.average_decay=null"
    )
    job = JobDirectory(tmp_path / "job")
    written = run_job(config, job, quiet_console())
    assert written["train/best_epoch"] < written["train/epochs"], "the test needs a run that gets worse"
    model, data, _ = load_model(job)
    assert evaluate_job(model, data)["validation/ndcg_at_10"] == written["train/best_ndcg_at_10"]
    assert written["validation/ndcg_at_10"] == written["train/best_ndcg_at_10"]
