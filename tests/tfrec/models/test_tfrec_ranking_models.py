"""The contract on every ranking model."""

import numpy as np
import tensorflow as tf

from tests.contracts import RankingContract
from tests.trainer.planted_world import DEEPFM, DEEPFM_WITH_HISTORY
from tfrec.optimizers import Adam, Ftrl
from trainer.model import build_model
from trainer.training.optimizer import make_optimizer

# A linear model and an MLP learn no pairs from 7,600 rows: taste shows in the history, not in the user's id.
WIDE_DEEP = (
    "model.features=[item_id, genres, history]",
    "model.embedding_dim=8",
    "model.embedding_stddev=0.05",
    "model.kernel_l2=0.003",
    "model.input_dropout=0.1",
    "model.dropout=0.3",
    "train.wide_optimizer={name: ftrl, learning_rate: 1}",
    "train.learning_rate=0.01",
    "train.batch_size=256",
    "train.average_decay=0.99",
    "train.patience=6",
)
DEEPFM_WITH_SHARED_ROWS = (
    *DEEPFM,
    "model.tables.user_id={kind: hashed, rows: 150}",
    "model.tables.item_id={kind: quotient_remainder}",
    "model.tables.genres={kind: quotient_remainder}",
)

NON_DEFAULT = {
    "features": ["user_id", "item_id"],
    "tables": {"item_id": {"kind": "quotient_remainder", "rows": 9}},
    "embedding_dim": 5,
    "hidden_units": [7],
    "embedding_stddev": 0.5,
    "embedding_l2": 0.1,
    "kernel_l2": 0.2,
    "input_dropout": 0.1,
    "dropout": 0.2,
}


class FieldRankingContract(RankingContract):
    """What rankers over fields share."""

    non_default = NON_DEFAULT

    def pairs(self, vectors):
        """The model's term for interactions of one row's vectors [fields, dim], by loops."""
        raise NotImplementedError

    def test_the_logit_is_bias_first_order_pairs_and_network(self, trained):
        """The equation, with loops over fields and layers."""
        model, data, _ = trained
        tensors = {name: value[:20] for name, value in self.encoded_rows(model, data)[0].items()}
        vectors, weights = (part.numpy() for part in model.embedding(tensors))
        found = model.logits(tensors).numpy()
        layers = [(k.numpy(), b.numpy()) for k, b in zip(model._mlp.kernels, model._mlp.biases, strict=True)]
        assert np.abs(weights).max() > 0
        for row in range(20):
            hidden = vectors[row].reshape(-1)
            for layer, (kernel, bias) in enumerate(layers):
                hidden = hidden @ kernel + bias
                hidden = np.maximum(hidden, 0) if layer + 1 < len(layers) else hidden
            expected = float(model._bias) + weights[row].sum() + self.pairs(vectors[row]) + hidden[0]
            np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)

    def test_the_loss_is_cross_entropy_and_the_penalties_of_the_batchs_rows_and_the_kernels(self, trained):
        model, data, config = trained
        rows = {name: tf.constant(data.train[name][:50]) for name in model.train_columns()}
        logits = model.logits(rows).numpy().astype(np.float64)
        labels = rows["label"].numpy()
        vectors = model.embedding(rows).vectors.numpy().astype(np.float64)
        entropy = -np.mean(labels * np.log(1 / (1 + np.exp(-logits))) + (1 - labels) * np.log(1 / (1 + np.exp(logits))))
        of_rows = config.model.embedding_l2 * np.mean([(v**2).sum() for v in vectors])
        of_kernels = config.model.kernel_l2 * sum(
            (k.numpy().astype(np.float64) ** 2).sum() / 2 for k in model._mlp.kernels
        )
        assert min(of_rows, of_kernels) > 0
        np.testing.assert_allclose(float(model.compute_loss(rows)), entropy + of_rows + of_kernels, rtol=1e-5)

    def test_dropout_follows_from_seed_and_step_and_stops_after_training(self, trained):
        model, data, config = trained
        assert config.model.dropout > 0
        rows = {name: tf.constant(data.train[name][:50]) for name in model.train_columns()}
        fresh = build_model(config, data)
        one, again = (fresh.compute_loss(rows, training=True) for _ in range(2))
        assert float(one) == float(again)
        assert float(one) != float(fresh.compute_loss(rows))
        optimizer = tf.keras.optimizers.SGD(0.0)
        fresh.compile(optimizer=optimizer)
        at_step_0 = float(fresh.compute_loss(rows, training=True))
        optimizer.iterations.assign(1)
        assert float(fresh.compute_loss(rows, training=True)) != at_step_0

    def test_every_weight_gets_a_gradient(self, trained):
        model, data, _ = trained
        rows = {name: tf.constant(data.train[name][:500]) for name in model.train_columns()}
        with tf.GradientTape() as tape:
            loss = model.compute_loss(rows, training=True)
        for variable, gradient in zip(
            model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
        ):
            assert gradient is not None, variable.name
            values = tf.convert_to_tensor(gradient).numpy()
            assert np.isfinite(values).all()
            assert values.any(), variable.name

    def test_the_stated_table_shapes_are_those_of_the_variables(self, trained):
        model, data, config = trained
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        found = [tuple(v.shape) for v in model.embedding.trainable_variables]
        assert sorted((shape.rows, shape.dim) for shape in shapes) == sorted(found)


class DeepFMContract(FieldRankingContract):
    model = "deepfm"

    def pairs(self, vectors):
        return sum(vectors[f] @ vectors[g] for f in range(len(vectors)) for g in range(f))


class TestDeepFM(DeepFMContract):
    overrides = DEEPFM


class TestDeepFMWithHistoryAndPlainNumbers(DeepFMContract):
    overrides = DEEPFM_WITH_HISTORY


class TestDeepFMWithSharedRows(DeepFMContract):
    """Hashed users, composed items and genres."""

    overrides = DEEPFM_WITH_SHARED_ROWS


class TestWideDeep(FieldRankingContract):
    model = "wide_deep"
    overrides = WIDE_DEEP

    def pairs(self, vectors):
        return 0.0

    def test_the_wide_part_is_the_first_order_weights_and_follows_ftrl_by_default(self, trained):
        model, _, config = trained
        wide = {variable.name for variable in model.wide_variables()}
        assert wide == {v.name for v in model.trainable_variables if "first_order" in v.name}
        assert config.train.wide_optimizer.name == "ftrl"
        optimizer = make_optimizer(config.train, model, 100)
        rules = {variable.name: type(optimizer._group_of(variable).rule) for variable in model.trainable_variables}
        assert {name for name, rule in rules.items() if rule is Ftrl} == wide
        assert {rule for name, rule in rules.items() if name not in wide} == {Adam}

    def test_it_beats_the_items_mean_label_on_the_planted_world(self, job):
        """In log loss on each split of 300 rows, in AUC on both together: it has no term for pairs."""
        metrics = job.read_metrics()
        auc, of_mean = (
            sum(metrics[f"{split}/{name}"] for split in ("validation", "test")) for name in ("auc", "item_mean/auc")
        )
        assert auc > of_mean
        for split in ("validation", "test"):
            assert metrics[f"{split}/log_loss"] < metrics[f"{split}/item_mean/log_loss"]
