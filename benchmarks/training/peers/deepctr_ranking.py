"""DeepCTR's DeepFM and WDL, as its examples train them: `compile("adam")`, then one `fit` over arrays in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# With one thread for operations, Keras' `fit` waits half of its time for its own input; a second one, on the same core,
# lets it run. The variable would win over what `main` asks for.
os.environ.pop("TF_NUM_INTEROP_THREADS", None)
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # DeepCTR is written for Keras 2

import numpy as np
import tensorflow as tf
from deepctr.feature_column import DenseFeat, SparseFeat, VarLenSparseFeat, get_feature_names  # type: ignore[import-not-found]
from deepctr.models import WDL, DeepFM  # type: ignore[import-not-found]

from benchmarks.training.exchange import LABEL, auc, read_fields, read_split
from benchmarks.training.peers.clock import (
    WARM_UP_STEPS,
    EpochClock,
    best_epoch,
    peer_flags,
    print_result,
    threads,
)

HIDDEN_UNITS = (256, 128, 64)


class Timer(tf.keras.callbacks.Callback):  # type: ignore[misc]
    """Starts the clock after the first epoch, or after some steps where only a part of an epoch is run."""

    def __init__(self, clock: EpochClock, after_steps: int | None) -> None:
        super().__init__()
        self._clock, self._after_steps = clock, after_steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._after_steps is not None and batch + 1 == self._after_steps:
            self._clock.start()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._after_steps is None and epoch == 0:
            self._clock.start()


def build(
    data: Path, kind: str, dim: int, learning_rate: float, seed: int, **own: Any
) -> tuple[tf.keras.Model, list[str]]:
    """A compiled model and the names of its inputs; `own` are further arguments of DeepCTR's model."""
    width = {name: values.shape[1] for name, values in read_split(data, "test").items() if values.ndim == 2}
    columns: list[Any] = []
    for name, field in read_fields(data).items():
        if field.kind == "number":
            columns.append(DenseFeat(name, 1))
            continue
        column = SparseFeat(name, vocabulary_size=field.rows, embedding_dim=dim)
        columns.append(column if field.kind == "id" else VarLenSparseFeat(column, maxlen=width[name], combiner="mean"))
    make = {"deepfm": DeepFM, "wide_deep": WDL}[kind]
    model = make(columns, columns, dnn_hidden_units=HIDDEN_UNITS, seed=seed, **own)
    model.compile(tf.keras.optimizers.Adam(learning_rate), "binary_crossentropy")
    return model, get_feature_names(columns)


def inputs(columns: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    """Ids as int32, which is what DeepCTR's columns take."""
    return {name: columns[name].astype("int32" if columns[name].dtype.kind == "i" else "float32") for name in names}


def main() -> None:
    flags = peer_flags(__doc__, ("deepfm", "wide_deep"))
    chosen = flags.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(threads())
    tf.config.threading.set_inter_op_parallelism_threads(threads() + 1)
    tf.keras.utils.set_random_seed(chosen.seed)
    model, names = build(chosen.data, chosen.model, chosen.embedding_dim, chosen.learning_rate, chosen.seed)
    train = read_split(chosen.data, "train")
    features, labels = inputs(train, names), train[LABEL]
    fit = {"batch_size": chosen.batch_size, "verbose": 0}
    if chosen.measure == "quality":
        found: dict[str, list[float]] = {"validation": [], "test": []}
        for _ in range(chosen.epochs):
            model.fit(features, labels, epochs=1, **fit)
            for split, values in found.items():
                held_out = read_split(chosen.data, split)
                scores = model.predict(inputs(held_out, names), batch_size=8192, verbose=0)[:, 0]
                values.append(auc(held_out[LABEL], scores))
        print_result(version=tf.__version__, **best_epoch(**found))
        return
    clock = EpochClock()
    if chosen.max_steps is None:
        model.fit(features, labels, epochs=chosen.epochs, callbacks=[Timer(clock, None)], **fit)
        timed = (chosen.epochs - 1) * len(labels)
    else:
        rows = (WARM_UP_STEPS + chosen.max_steps) * chosen.batch_size
        if rows > len(labels):
            flags.error(f"--max-steps {chosen.max_steps}: the set has {len(labels)} rows, {rows} are needed")
        part = {name: values[:rows] for name, values in features.items()}
        model.fit(part, labels[:rows], callbacks=[Timer(clock, WARM_UP_STEPS)], **fit)
        timed = chosen.max_steps * chosen.batch_size
    print_result(version=tf.__version__, **clock.result(timed))


if __name__ == "__main__":
    main()
