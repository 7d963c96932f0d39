"""Each key of the training config does what it says, seen in a job trained with it."""

import io

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from tensorflow.core.util import event_pb2

from tests.trainer.planted_world import quiet_console
from tfrec.errors import ConfigError
from trainer.cluster.placement import Placement
from trainer.job import JobDirectory
from trainer.run import run_job

SMALL = (
    "train.epochs=2",
    "train.batch_size=700",
    "model.embedding_dim=4",
    "model.hidden_units=[8]",
    "train.patience=9",
)


@pytest.fixture
def trained(world, tmp_path):
    """Train a small DeepFM with further settings; return (metrics, weights by name, job)."""

    def train(*settings, model="deepfm", **more):
        job = JobDirectory(tmp_path / f"job{len(list(tmp_path.iterdir()))}")
        metrics = run_job(world.config(model, *SMALL, *settings), job, quiet_console(), **more)
        reader = tf.train.load_checkpoint(str(job.latest_checkpoints))
        names = [n for n in reader.get_variable_to_shape_map() if n.startswith("model/") and "optimizer" not in n]
        return metrics, {name: reader.get_tensor(name) for name in names}, job

    return train


def scalars(job):
    """Name → {step: value} of a job's event files."""
    found = {}
    for path in job.logs.glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                if value.HasField("tensor"):
                    found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return found


def require_near(one, other, tolerance):
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, atol=tolerance, err_msg=name)


def test_xla_changes_the_speed_and_not_the_weights(trained):
    """Without dropout: XLA's generator draws other masks from the same seeds."""
    settings = ("model.dropout=0", "model.input_dropout=0")
    require_near(trained(*settings)[1], trained(*settings, "train.xla=true")[1], 1e-4)


def test_what_xla_cannot_compile_is_refused_before_training(world, tmp_path):
    config = world.config("two_tower", "train.xla=true")
    with pytest.raises(ConfigError, match=r"train.xla: cannot compile model.mask_known_positives; set that to false"):
        run_job(config, JobDirectory(tmp_path / "job"), quiet_console())
    config, two = world.config("deepfm", "train.xla=true"), Placement("mirrored", devices=("CPU:0", "CPU:1"))
    with pytest.raises(ConfigError, match=r"train.xla: compiles steps of one device, not of mirrored"):
        run_job(config, JobDirectory(tmp_path / "job"), quiet_console(), placement=two)
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_shorter_type_of_the_matrices_comes_near_the_long_one(trained, precision):
    metrics, weights, _ = trained("train.epochs=4", "train.learning_rate=0.01")
    short, of_short, _ = trained("train.epochs=4", "train.learning_rate=0.01", f"train.precision={precision}")
    assert all(values.dtype != np.float16 for values in of_short.values())
    assert any(not np.array_equal(values, of_short[name]) for name, values in weights.items())
    assert short["validation/auc"] == pytest.approx(metrics["validation/auc"], abs=0.02)
    assert short["validation/log_loss"] == pytest.approx(metrics["validation/log_loss"], abs=0.01)


def test_rows_read_from_the_records_in_every_epoch_train_as_well_as_rows_in_memory(trained):
    """The orders differ, so the weights do; the first epoch of one batch has one order only."""
    one_batch = ("train.epochs=1", "train.batch_size=100000", "model.dropout=0", "model.input_dropout=0")
    in_memory, streamed = trained(*one_batch, "train.input=memory"), trained(*one_batch, "train.input=stream")
    require_near(in_memory[1], streamed[1], 1e-5)
    assert streamed[0]["train/steps"] == in_memory[0]["train/steps"] == 1


def test_a_limit_of_steps_ends_training_in_the_middle_of_an_epoch(trained):
    metrics, _, job = trained("train.epochs=9", "train.steps=14")
    assert (metrics["train/steps"], metrics["train/epochs"]) == (14, 2)
    assert set(scalars(job)["validation/auc"]) == {11, 14}


def test_tensorboard_has_loss_speed_learning_rate_and_metrics(trained):
    metrics, _, job = trained("train.schedule={kind: linear, warmup_steps: 4, end: 0}", "train.learning_rate=0.01")
    found = scalars(job)
    assert {"train/loss", "train/examples_per_second", "train/learning_rate", "validation/log_loss"} <= set(found)
    assert set(found["validation/log_loss"]) == {11, 22}
    for step, rate in found["train/learning_rate"].items():
        expected = 0.01 * ((step + 1) / 4 if step < 4 else 1 - min((step - 4) / (22 - 4), 1))
        assert rate == pytest.approx(expected, abs=1e-7)
    assert min(found["validation/log_loss"].values()) == pytest.approx(metrics["train/best_log_loss"])


def test_a_profile_of_steps_that_never_come_is_said(world, tmp_path):
    said = io.StringIO()
    config = world.config("deepfm", "train.epochs=1", "model.embedding_dim=4", "model.hidden_units=[8]")
    job = JobDirectory(tmp_path / "job")
    console = Console(file=said, width=200)
    run_job(config, job, console, must_evaluate=False, profile=(9000, 9001))
    assert "--profile: training ended at step 8, before those steps" in said.getvalue()


def test_a_profile_is_written_on_request(trained):
    _, _, job = trained(profile=(3, 5))
    assert list(job.logs.rglob("*.xplane.pb"))
    assert not list(trained()[2].logs.rglob("*.xplane.pb"))


def test_ftrl_with_l1_makes_wide_weights_exactly_zero(trained):
    def zeros(*settings):
        weights = trained(*settings, model="wide_deep")[1]
        (wide,) = [values for name, values in weights.items() if "_first_order/embedding/" in name]
        return np.mean(wide == 0)

    few = zeros("train.wide_optimizer={name: ftrl, learning_rate: 0.1, l1: 0}")
    many = zeros("train.wide_optimizer={name: ftrl, learning_rate: 0.1, l1: 0.05}")
    assert few < 0.3 < many
