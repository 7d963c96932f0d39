"""The retrieval model of TensorFlow Recommenders' tutorial; the epoch is chosen on validation, as a user would."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.quality.lists import asked_users, taken
from benchmarks.quality.peers.retrieval import FitClock, finish, request, write_scored
from benchmarks.quality.splits import QUERY_SETS, Splits
from benchmarks.training.peers.clock import threads
from benchmarks.training.peers.tfrs_tutorial import Tutorial, tokens

PATIENCE = 5


def main() -> None:
    asked = request(__doc__, ("tfrs_tutorial",))
    tf.config.threading.set_intra_op_parallelism_threads(threads())
    tf.config.threading.set_inter_op_parallelism_threads(threads() + 1)
    tf.keras.utils.set_random_seed(asked.seed)
    users, items = (tokens(np.arange(len(ids))) for ids in (asked.splits.users, asked.splits.items))
    of_user, of_item = asked.splits.pairs(("train",))
    features = {"user_id": tokens(of_user), "item_id": tokens(of_item)}
    batches = tf.data.Dataset.from_tensor_slices(features).shuffle(len(of_user), seed=asked.seed)
    batches = batches.batch(int(asked.settings["batch_size"])).prefetch(2)
    model = Tutorial(users, items, int(asked.settings["embedding_dim"]), has_train_metrics=False)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(asked.settings["learning_rate"]))
    clock = FitClock()
    validation, best, scores, waited = Validation(asked.splits), -1.0, np.zeros(0), 0
    for _ in range(int(asked.settings["epochs"])):
        model.fit(batches, epochs=1, verbose=0)
        found = model.user_model(users).numpy() @ model.item_model(items).numpy().T
        waited += 1
        if (reached := validation(found)) > best:
            best, scores, waited = reached, found, 0
        if waited >= PATIENCE:
            break
    said = clock.said()
    write_scored(asked, lambda _, some: scores[some])
    finish(said, None)


class Validation:
    """NDCG@10 of each user's last validation item, seen items left out; what ties with it stands below it."""

    def __init__(self, splits: Splits) -> None:
        asked, events = QUERY_SETS[0], splits.events["validation"]
        self._users = asked_users(splits, asked)
        self._items = events.items[np.searchsorted(events.users, self._users, side="right") - 1]
        self._seen = taken(splits, asked.seen, self._users)

    def __call__(self, scores: np.ndarray) -> float:
        kept = np.where(self._seen, -np.inf, scores[self._users])
        above = (kept > np.take_along_axis(kept, self._items[:, None], axis=1)).sum(axis=1)
        return float(np.where(above < 10, 1 / np.log2(above + 2), 0.0).mean())


if __name__ == "__main__":
    main()
