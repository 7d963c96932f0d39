"""What tests of rankers over fields share: the equation by loops, the loss, the rows that a later model takes over."""

import numpy as np
import tensorflow as tf

from tests.contracts import RankingContract
from trainer.model import build_model

FIELD_NON_DEFAULT = {
    "features": ["user_id", "item_id"],
    "tables": {"item_id": {"kind": "quotient_remainder", "rows": 9}},
    "crosses": "none",
    "loss": "pairwise",
    "loss_within": "user",
    "positive_weight": 2.0,
    "calibration": "platt",
}
VECTOR_NON_DEFAULT = {
    **FIELD_NON_DEFAULT,
    "embedding_dim": 5,
    "embedding_stddev": 0.5,
    "embedding_l2": 0.1,
    "history": "mean",
    "attention_units": [7, 3],
}
NON_DEFAULT = {**VECTOR_NON_DEFAULT, "hidden_units": [7], "kernel_l2": 0.2, "input_dropout": 0.1, "dropout": 0.2}


def network(kernels, biases, values):
    """Affine layers with ReLU between them, by the definition."""
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        values = values @ kernel.numpy() + bias.numpy()
        values = np.maximum(values, 0) if layer + 1 < len(kernels) else values
    return values


def slow_pairs(vectors):
    """Σ_{g < f} ⟨v_f, v_g⟩ of one row, by two loops."""
    return sum(vectors[f] @ vectors[g] for f in range(len(vectors)) for g in range(f))


class FieldRankingContract(RankingContract):
    """What rankers over fields share."""

    non_default = NON_DEFAULT

    def slow_logit(self, model, vectors, weights, row):
        """The equation for one row of vectors [fields, dim] and first-order weights, by loops; `row`: its features."""
        raise NotImplementedError

    def matrices(self, model):
        """What `kernel_l2` holds small."""
        return []

    def test_the_logit_is_that_of_the_equation(self, trained):
        model, data, _ = trained
        tensors = {name: value[:20] for name, value in self.encoded_rows(model, data)[0].items()}
        vectors, weights = (part.numpy() for part in model.embed(tensors))
        assert vectors.shape[1] == len(model.fields)
        assert (np.abs(weights).max() > 0) == model.has_first_order
        found = model.logits(tensors).numpy()
        for row in range(20):
            features = {name: value[row].numpy() for name, value in tensors.items()}
            expected = float(model._bias) + self.slow_logit(model, vectors[row], weights[row], features)
            np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)

    def test_the_loss_is_cross_entropy_and_the_penalties_of_the_batchs_rows_and_the_kernels(self, trained):
        model, data, config = trained
        rows = {name: tf.constant(data.train[name][:50]) for name in model.train_columns()}
        logits = model.logits(rows).numpy().astype(np.float64)
        labels = rows["label"].numpy()
        vectors = model.embed(rows).vectors.numpy().astype(np.float64)
        entropy = -np.mean(labels * np.log(1 / (1 + np.exp(-logits))) + (1 - labels) * np.log(1 / (1 + np.exp(logits))))
        penalties = []
        if hasattr(config.model, "embedding_l2"):
            penalties.append(config.model.embedding_l2 * np.mean([(v**2).sum() for v in vectors]))
        if hasattr(config.model, "kernel_l2"):
            squares = [(k.numpy().astype(np.float64) ** 2).sum() / 2 for k in self.matrices(model)]
            penalties.append(config.model.kernel_l2 * sum(squares))
        assert min(penalties, default=1.0) > 0
        np.testing.assert_allclose(float(model.compute_loss(rows)), entropy + sum(penalties), rtol=1e-5)

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

    def test_rows_that_a_later_model_takes_over_belong_to_one_feature_each(self, trained):
        model, data, _ = trained
        owned = {}
        for table in model.id_tables():
            assert table.feature in data.schema.features
            assert 0 <= table.first_row <= table.first_row + table.rows <= table.variable.shape[0]
            rows = owned.setdefault(id(table.variable), np.zeros(table.variable.shape[0]))
            rows[table.first_row : table.first_row + table.rows] += 1
        assert owned
        assert all(rows.max() == 1 for rows in owned.values())

    def test_the_stated_table_shapes_are_those_of_the_variables(self, trained):
        model, data, config = trained
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        found = [tuple(v.shape) for v in model.embedding.trainable_variables]
        assert sorted((shape.rows, shape.dim) for shape in shapes) == sorted(found)


class DeepFieldContract(FieldRankingContract):
    """And those with a network."""

    def matrices(self, model):
        return model._mlp.kernels

    def deep(self, model, values):
        return network(model._mlp.kernels, model._mlp.biases, values)[0]

    def pairs(self, vectors):
        """The model's term for interactions of one row's vectors [fields, dim], by loops."""
        return 0.0

    def slow_logit(self, model, vectors, weights, row):
        return weights.sum() + self.pairs(vectors) + self.deep(model, vectors.reshape(-1))

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
