"""DeepCTR's DeepFM and WDL on the click set; the epoch is chosen on validation."""

from __future__ import annotations

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # DeepCTR is written for Keras 2; TensorFlow looks when imported

import numpy as np
import tensorflow as tf

from benchmarks.quality.peers.ranking import HELD_OUT, BestEpoch, ranking_flags
from benchmarks.quality.peers.retrieval import FitClock
from benchmarks.training.exchange import LABEL, auc, read_split
from benchmarks.training.peers.clock import print_result, threads
from benchmarks.training.peers.deepctr_ranking import build, inputs

MODELS = {"deepctr_deepfm": "deepfm", "deepctr_wide_deep": "wide_deep"}


def main() -> None:
    chosen = ranking_flags(__doc__, tuple(MODELS)).parse_args()
    settings = {"epochs": 12, "batch_size": 2048, "embedding_dim": 16, "learning_rate": 0.001, **chosen.settings}
    tf.config.threading.set_intra_op_parallelism_threads(threads())
    tf.config.threading.set_inter_op_parallelism_threads(threads() + 1)
    tf.keras.utils.set_random_seed(chosen.seed)
    kind = MODELS[chosen.model]
    own = {name: settings[name] for name in ("l2_reg_embedding", "dnn_dropout") if name in settings}
    model, names = build(chosen.data, kind, settings["embedding_dim"], settings["learning_rate"], chosen.seed, **own)
    train = read_split(chosen.data, "train")
    held_out = {split: read_split(chosen.data, split) for split in HELD_OUT}
    features, best, clock = inputs(train, names), BestEpoch(), FitClock()
    for _ in range(settings["epochs"]):
        model.fit(features, train[LABEL], batch_size=settings["batch_size"], epochs=1, verbose=0)
        found: dict[str, np.ndarray] = {
            split: model.predict(inputs(columns, names), batch_size=8192, verbose=0)[:, 0]
            for split, columns in held_out.items()
        }
        best.offer(auc(held_out["validation"][LABEL], found["validation"]), found)
    print_result(**clock.said(), **best.write(chosen.output), own_validation_auc=None)


if __name__ == "__main__":
    main()
