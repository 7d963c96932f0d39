"""The retrieval model of TensorFlow Recommenders' tutorial: string lookups, two embeddings, `tfrs.tasks.Retrieval`.

As there: string ids through `StringLookup`, batches made once and cached, Adagrad 0.1, top-k metrics over all
candidates. `--no-train-metrics` leaves those out of the training step, as the tutorial's text suggests for speed.
"""

from __future__ import annotations

import os
from typing import Any

# With one thread for operations, Keras' `fit` waits half of its time for its own input; a second one, on the same core,
# lets it run. The variable would win over what `main` asks for.
os.environ.pop("TF_NUM_INTEROP_THREADS", None)
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from benchmarks.training.exchange import ndcg_at_10, read_pairs
from benchmarks.training.peers.clock import EpochClock, peer_flags, print_result, threads


class Tutorial(tfrs.Model):  # type: ignore[misc]
    """One embedding for the user, one for the item."""

    def __init__(self, users: np.ndarray, items: np.ndarray, dim: int, *, has_train_metrics: bool) -> None:
        super().__init__()
        self.user_model = self._tower(users, dim)
        self.item_model = self._tower(items, dim)
        candidates = tf.data.Dataset.from_tensor_slices(items).batch(128).map(self.item_model)
        self.task: Any = tfrs.tasks.Retrieval(metrics=tfrs.metrics.FactorizedTopK(candidates=candidates))
        self._has_train_metrics = has_train_metrics

    @staticmethod
    def _tower(tokens: np.ndarray, dim: int) -> tf.keras.Model:
        lookup = tf.keras.layers.StringLookup(vocabulary=tokens, mask_token=None)
        return tf.keras.Sequential([lookup, tf.keras.layers.Embedding(len(tokens) + 1, dim)])

    def compute_loss(self, features: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        users, items = self.user_model(features["user_id"]), self.item_model(features["item_id"])
        return self.task(users, items, compute_metrics=self._has_train_metrics or not training)


def tokens(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(str).astype(object)


class Timer(tf.keras.callbacks.Callback):  # type: ignore[misc]
    """Starts the clock after the first epoch."""

    def __init__(self, clock: EpochClock) -> None:
        super().__init__()
        self._clock = clock

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            self._clock.start()


def main() -> None:
    flags = peer_flags(__doc__, ("two_tower",))
    flags.add_argument("--no-train-metrics", action="store_true")
    flags.set_defaults(embedding_dim=64, learning_rate=0.1, epochs=3)
    chosen = flags.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(threads())
    tf.config.threading.set_inter_op_parallelism_threads(threads() + 1)
    tf.keras.utils.set_random_seed(chosen.seed)
    users, items, splits = read_pairs(chosen.data)
    train = splits["train"]
    features = {"user_id": tokens(train[:, 0]), "item_id": tokens(train[:, 1])}
    batches = tf.data.Dataset.from_tensor_slices(features).shuffle(100_000, seed=chosen.seed)
    batches = batches.batch(chosen.batch_size).cache()
    user_tokens, item_tokens = tokens(np.arange(users)), tokens(np.arange(items))
    model = Tutorial(user_tokens, item_tokens, chosen.embedding_dim, has_train_metrics=not chosen.no_train_metrics)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(chosen.learning_rate))
    clock = EpochClock()
    model.fit(batches, epochs=chosen.epochs, verbose=0, callbacks=[Timer(clock)])
    result = clock.result((chosen.epochs - 1) * len(train))
    scores = model.user_model(user_tokens).numpy() @ model.item_model(item_tokens).numpy().T
    seen = np.concatenate([train, splits["validation"]])
    print_result(version=tf.__version__, ndcg_at_10=ndcg_at_10(scores, seen, splits["test"]), **result)


if __name__ == "__main__":
    main()
