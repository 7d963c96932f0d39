"""The contract on every ranking model."""

import numpy as np
import tensorflow as tf

from tests.contracts import RankingContract
from tests.trainer.planted_world import DEEPFM, DEEPFM_WITH_HISTORY

NON_DEFAULT = {
    "features": ["user_id", "item_id"],
    "embedding_dim": 5,
    "hidden_units": [7],
    "embedding_stddev": 0.5,
    "embedding_l2": 0.1,
    "kernel_l2": 0.2,
    "input_dropout": 0.1,
    "dropout": 0.2,
}


class TestDeepFM(RankingContract):
    model = "deepfm"
    overrides = DEEPFM
    non_default = NON_DEFAULT

    def test_the_logit_is_bias_first_order_pairs_and_network(self, trained):
        """The equation, with loops over fields and layers."""
        model, data, _ = trained
        tensors = {name: value[:20] for name, value in self.encoded_rows(model, data)[0].items()}
        vectors, weights = (part.numpy() for part in model._embedding(tensors))
        found = model.logits(tensors).numpy()
        kernels = [v.numpy() for v in model._mlp.weights]
        for row in range(20):
            pairs = sum(vectors[row, f] @ vectors[row, g] for f in range(len(vectors[row])) for g in range(f))
            hidden = vectors[row].reshape(-1)
            for layer in range(0, len(kernels), 2):
                hidden = hidden @ kernels[layer] + kernels[layer + 1]
                hidden = np.maximum(hidden, 0) if layer + 2 < len(kernels) else hidden
            expected = float(model._bias) + weights[row].sum() + pairs + hidden[0]
            np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)

    def test_the_loss_is_cross_entropy_and_the_penalty_of_the_batchs_rows(self, trained):
        model, data, config = trained
        rows = {name: tf.constant(data.train[name][:50]) for name in model.train_columns()}
        logits = model.logits(rows).numpy().astype(np.float64)
        labels = rows["label"].numpy()
        vectors = model._embedding(rows).vectors.numpy().astype(np.float64)
        entropy = -np.mean(labels * np.log(1 / (1 + np.exp(-logits))) + (1 - labels) * np.log(1 / (1 + np.exp(logits))))
        expected = entropy + config.model.embedding_l2 * np.mean([(v**2).sum() for v in vectors])
        np.testing.assert_allclose(float(model.compute_loss(rows)), expected, rtol=1e-5)


class TestDeepFMWithHistoryAndPlainNumbers(RankingContract):
    model = "deepfm"
    overrides = DEEPFM_WITH_HISTORY
    non_default = NON_DEFAULT
