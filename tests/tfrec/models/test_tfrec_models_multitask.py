"""Several labels at once: the contract, the loss by loops, and what is exported beside the score."""

import math
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from tests.contracts import RankingContract
from tests.tfrec.models.field_contract import VECTOR_NON_DEFAULT, FieldRankingContract
from tests.tfrec.models.world_with_targets import WorldWithTargets
from tests.trainer.raw_rows import call
from tfrec.errors import ConfigError
from tfrec.models.multitask import MultiTask, MultiTaskConfig
from trainer.evaluation.validation import monitors
from trainer.model import build_model

NON_DEFAULT = {
    **VECTOR_NON_DEFAULT,
    "tasks": ["label"],
    "sharing": "shared_bottom",
    "experts": 7,
    "expert_units": [9],
    "tower_units": [6],
    "loss_weights": {"label": 0.5},
    "score_weights": {"label": 0.25},
    "scales": {"stars": 5.0},
    "input_dropout": 0.1,
    "dropout": 0.2,
    "kernel_l2": 0.5,
}


@pytest.fixture(scope="module")
def world(world):
    return WorldWithTargets(world)


class TestMultiTask(RankingContract):
    model = "multitask"
    overrides = (
        "model.score_weights={label: 2, seconds: 0.01}",
        "model.loss_weights={seconds: 0.5}",
        "model.scales={seconds: 60}",
        "model.embedding_dim=8",
        "model.embedding_l2=0.002",
        "model.experts=3",
        "model.expert_units=[24, 16]",
        "model.tower_units=[8]",
        "model.input_dropout=0.1",
        "model.dropout=0.1",
        "train.learning_rate=0.01",
        "train.batch_size=256",
        "train.average_decay=0.99",
        "train.epochs=6",
    )
    non_default = NON_DEFAULT

    test_every_weight_gets_a_gradient = FieldRankingContract.test_every_weight_gets_a_gradient
    test_rows_that_a_later_model_takes_over_belong_to_one_feature_each = (
        FieldRankingContract.test_rows_that_a_later_model_takes_over_belong_to_one_feature_each
    )
    test_the_stated_table_shapes_are_those_of_the_variables = (
        FieldRankingContract.test_the_stated_table_shapes_are_those_of_the_variables
    )

    def test_predictions_are_probabilities_of_the_logits(self, trained):
        """The score is the stated sum of what is predicted of each task."""
        model, data, _ = trained
        assert "country_x_genres" in model.fields
        tensors = self.encoded_rows(model, data)[0]
        logits = {name: z.numpy().astype(np.float64) for name, z in model.task_logits(tensors).items()}
        assert list(logits) == ["label", "like", "seconds"]
        expected = {name: 1 / (1 + np.exp(-logits[name])) for name in ("label", "like")}
        expected["seconds"] = 60 * logits["seconds"]
        found = model.task_predictions(tensors)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5)
        np.testing.assert_allclose(
            self.answer(model, tensors), 2 * expected["label"] + 0.01 * expected["seconds"], rtol=1e-5
        )

    def test_what_a_row_takes_is_counted_by_experts_gates_mixtures_and_towers(self, trained):
        model, data, config = trained
        by_hand = 3 * (24 + 16) + 3 * (3 + 16 + 8)  # experts' layers; of each task its gate, its mixture, its tower
        assert model.activations(config.model, data.schema) == by_hand

    @pytest.mark.parametrize("kept", [None, 0.25])
    def test_the_loss_adds_up_the_means_over_the_events_that_say_something(self, trained, kept):
        """Of those alone, and each as often as it stands for events of the log that were left out."""
        model, data, config = trained
        if kept is not None:
            model = as_if_kept(model, config, data, kept)
        rows = {name: data.train[name][:60] for name in model.train_columns()}
        tensors = {name: tf.constant(values) for name, values in rows.items()}
        logits = {name: z.numpy() for name, z in model.task_logits(tensors).items()}
        sums, counts = dict.fromkeys(logits, 0.0), dict.fromkeys(logits, 0.0)
        for row in range(60):
            for name in logits:
                z, y = float(logits[name][row]), float(rows[name][row])
                if math.isnan(y):
                    continue
                loss = (y / 60 - z) ** 2 if name == "seconds" else math.log1p(math.exp(z)) - y * z
                stands_for = 1.0 if kept is None or name == "label" or rows["label"][row] else 1 / kept
                sums[name] += stands_for * loss
                counts[name] += stands_for
        assert counts["like"] < 60
        assert counts["label"] == 60
        expected = sum(
            weight * sums[name] / counts[name] for name, weight in (("label", 1), ("like", 1), ("seconds", 0.5))
        )
        vectors = model.embed(tensors).vectors.numpy()
        expected += config.model.embedding_l2 * np.mean([(of_row**2).sum() for of_row in vectors])
        kernels = [*model._mixture.kernels, *(kernel for tower in model._towers for kernel in tower.kernels)]
        expected += config.model.kernel_l2 * sum((kernel.numpy() ** 2).sum() / 2 for kernel in kernels)
        assert float(model.compute_loss(tensors)) == pytest.approx(expected, rel=1e-4)

    def test_of_left_out_negatives_the_probability_of_the_label_alone_is_corrected(self, trained):
        model, data, config = trained
        tensors = self.encoded_rows(model, data)[0]
        found = as_if_kept(model, config, data, 0.1).task_predictions(tensors)
        for name, learnt in model.task_predictions(tensors).items():
            p = learnt.numpy().astype(np.float64)
            np.testing.assert_allclose(found[name], p / (p + (1 - p) / 0.1) if name == "label" else p, rtol=1e-5)

    def test_a_batch_that_says_nothing_of_a_task_has_a_finite_loss_and_gradients(self, trained):
        model, data, _ = trained
        rows = {name: tf.constant(data.train[name][:30]) for name in model.train_columns()}
        rows["like"] = tf.fill([30], math.nan)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(rows, training=True)
        assert np.isfinite(float(loss))
        found = tape.gradient(loss, model.trainable_variables)
        assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in found)

    def test_the_export_gives_each_tasks_prediction_beside_the_score(self, trained, exported, log):
        model, data, _ = trained
        tensors, user_ids, item_ids = self.encoded_rows(model, data)
        events = {(event.user_id, event.item_id): event for event in log.of_split("test")}
        raw = log.requests([events[pair] for pair in zip(user_ids, item_ids, strict=True)])
        found = call(exported.signatures["serving_default"], raw)
        assert set(found) == {"scores", "label", "like", "seconds"}
        for name, expected in model.task_predictions(tensors).items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)

    def test_each_task_is_judged_by_its_own_labels(self, trained, job):
        model, data, _ = trained
        found = {name: v.numpy() for name, v in model.task_predictions(self.encoded_rows(model, data)[0]).items()}
        metrics, labels = job.read_metrics(), {name: data.test[name] for name in found}
        known = {name: np.isfinite(values) for name, values in labels.items()}
        assert [int(rows.sum()) == 300 for rows in known.values()] == [True, False, False]
        assert metrics["test/like_auc"] == pytest.approx(
            sklearn.metrics.roc_auc_score(labels["like"][known["like"]], found["like"][known["like"]])
        )
        assert metrics["test/label_log_loss"] == pytest.approx(
            sklearn.metrics.log_loss(labels["label"], found["label"].astype(np.float64)), rel=1e-5
        )
        errors = (found["seconds"] - labels["seconds"])[known["seconds"]].astype(np.float64)
        assert metrics["test/seconds_rmse"] == pytest.approx(math.sqrt((errors**2).mean()), rel=1e-5)
        assert "test/log_loss" not in metrics  # the score is no probability

    def test_the_epoch_is_chosen_by_the_losses_of_all_tasks(self, trained, job):
        _, data, config = trained
        assert monitors(MultiTask, config.model, data.schema) == ["task_loss", "auc"]
        metrics = job.read_metrics()
        seconds_loss = (metrics["validation/seconds_rmse"] / 60) ** 2
        expected = metrics["validation/label_log_loss"] + metrics["validation/like_log_loss"] + 0.5 * seconds_loss
        assert metrics["train/best_task_loss"] == pytest.approx(expected, rel=1e-5)

    def test_it_beats_the_items_mean_label_on_the_planted_world(self, trained, job):
        """By far, in the score and in every task: what decides is in user and item together."""
        _, data, _ = trained
        metrics = job.read_metrics()
        for split in ("validation", "test"):
            of_items = metrics[f"{split}/item_mean/auc"]
            assert min(metrics[f"{split}/auc"], metrics[f"{split}/label_auc"]) > of_items + 0.15
            assert metrics[f"{split}/label_log_loss"] < math.log(2) - 0.1
            assert metrics[f"{split}/like_auc"] > 0.75
            seconds = data.split(split)["seconds"]
            assert metrics[f"{split}/seconds_rmse"] < 0.8 * np.nanstd(seconds)


def as_if_kept(model, config, data, share):
    """The same weights, of a model whose dataset kept this share of the negatives."""
    schema = data.schema.model_copy(update={"kept_negatives": share})
    found = MultiTask(config.model, replace(data.model_inputs, schema=schema))
    for target, source in zip(found.state, model.state, strict=True):
        target.assign(source)
    return found


def test_a_shared_bottom_has_no_gates_and_the_score_is_the_first_task_by_default(world):
    data = world.data()
    model = build_model(world.config("multitask", "model.sharing=shared_bottom", "model.tasks=[like, label]"), data)
    assert model._mixture.gates is None
    rows = {name: tf.constant(data.train[name][:9]) for name in model.train_columns()}
    np.testing.assert_array_equal(model.predictions(rows), model.task_predictions(rows)["like"])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tasks": ("label", "likes")}, r"model\.tasks: no task 'likes'.*did you mean 'like'"),
        ({"tasks": ("label",), "score_weights": {"like": 1}}, r"model\.score_weights: no task 'like'"),
        ({"scales": {"like": 2}}, r"model\.scales: like=2\.0; scales are above 0, and of tasks that are values"),
        ({"loss": "pairwise"}, r"model\.loss=pairwise: multitask learns each task by its own loss; leave it out"),
        ({"calibration": "platt"}, r"model\.calibration=platt: multitask learns each task by its own loss"),
    ],
)
def test_what_names_no_task_is_refused(world, config, message):
    with pytest.raises(ConfigError, match=message):
        MultiTask(MultiTaskConfig(**config), world.data().model_inputs)


def test_a_dataset_without_a_label_is_refused(world):
    inputs = world.data().model_inputs
    unlabelled = replace(inputs, schema=inputs.schema.model_copy(update={"label": None}))
    with pytest.raises(ConfigError, match=r"multitask: the dataset has no 'label'; make the target that matters most"):
        MultiTask(MultiTaskConfig(), unlabelled)
