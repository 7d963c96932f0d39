"""`python -m benchmarks.training.keras_adam`: seconds of a training step under Keras' own Adam.

It updates every row of every table in every step; the trainer's `adam` updates the rows of the batch. Model, data and
batches are those of a job.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

import tfrec  # noqa: F401  chooses the Keras generation before TensorFlow is loaded

import tensorflow as tf  # isort: skip

from tfrec.dataset.batches import Batches
from tfrec.dataset.directory import DatasetDirectory
from tfrec.models.learning import GradientModel
from trainer.config import resolve_config
from trainer.data import JobData
from trainer.model import build_model

WARM_UP = 3


def measure(dataset: str, model_name: str, settings: list[str], steps: int) -> float:
    """Median seconds of a step."""
    directory = DatasetDirectory(dataset)
    config = resolve_config(
        model_name, None, settings, dataset=dataset, dataset_fingerprint=directory.fingerprint, seed=1
    )
    data = JobData(directory)
    model: Any = build_model(config, data)
    assert isinstance(model, GradientModel)
    model.compile(optimizer=tf.keras.optimizers.Adam(config.train.learning_rate))
    variables = model.trainable_variables
    model.optimizer.build(variables)

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        model.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    seconds = []
    columns = {name: data.train[name] for name in model.train_columns()}
    for batch in Batches(columns, config.train.batch_size, seed=1).epoch(0).repeat().take(WARM_UP + steps):
        begin = time.perf_counter()
        float(step(batch))
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds[WARM_UP:]))


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--dataset", required=True)
    flags.add_argument("--model", default="deepfm")
    flags.add_argument("--steps", type=int, default=20)
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the job's config")
    chosen = flags.parse_args()
    print(json.dumps({"step_seconds": measure(chosen.dataset, chosen.model, chosen.set, chosen.steps)}))


if __name__ == "__main__":
    main()
