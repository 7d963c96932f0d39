"""`python -m benchmarks.training.device_run`: one model on the devices of a machine; prints a line of JSON.

Three measurements: the input pipeline alone, steps on one batch that is there already, and training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.training.devices import Utilisation, make_strategy, measured_rates
from benchmarks.training.roofline import Cost, bound_by, ranking_cost, two_tower_cost

import tensorflow as tf  # isort: skip

from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.stream import StreamBatches
from tfrec.models.learning import GradientModel
from tfrec.schema import SequenceFeature
from trainer.config import JobConfig, resolve_config
from trainer.data import JobData
from trainer.model import build_model
from trainer.training.optimizer import loss_scaled, make_optimizer
from trainer.training.replica_step import ReplicaStep

WARM_UP_STEPS = 3
CALL_SECONDS = 0.5  # about, of the steps in one call
TOTAL_STEPS = 1 << 30  # of the learning-rate schedule, which is constant here


def prepare(config: JobConfig, strategy: tf.distribute.Strategy) -> tuple[GradientModel, JobData, ReplicaStep]:
    """The model, its data and its step, as the trainer makes them."""
    data = JobData(DatasetDirectory(config.dataset))
    with strategy.scope():
        model = build_model(config, data)
        assert isinstance(model, GradientModel)
        optimizer = loss_scaled(make_optimizer(config.train, model, TOTAL_STEPS), config.train)
        model.compile(optimizer=optimizer)
    model.compute_type = tf.as_dtype(config.train.precision)
    return model, data, ReplicaStep(model, optimizer, xla=config.train.xla)


def compiled(step: ReplicaStep, strategy: tf.distribute.Strategy) -> Callable[[Iterator[Any], int], None]:
    """A function that takes so many steps in one call, and returns when they are done."""

    @tf.function(reduce_retracing=True)
    def run(batches: Iterator[Any], steps: tf.Tensor) -> tf.Tensor:
        loss = tf.constant(0.0)
        for _ in tf.range(steps):
            losses = strategy.run(step, args=(next(batches),))
            loss += strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
        return loss

    return lambda batches, steps: run(batches, tf.constant(steps)).numpy()


def drain(batches: tf.data.Dataset, seconds: float) -> float:
    """Seconds of one batch of the input alone."""
    found: Iterator[Any] = iter(batches)
    next(found)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        next(found)
        count += 1
    return (time.perf_counter() - begin) / count


def train(run: Callable[[Iterator[Any], int], None], batches: Iterator[Any], seconds: float) -> float:
    """Seconds of one step; calls that trace or warm up are not counted."""
    run(batches, 1)
    run(batches, WARM_UP_STEPS)
    begin, done, steps = time.perf_counter(), 0, WARM_UP_STEPS
    while (elapsed := time.perf_counter() - begin) < seconds:
        if done:
            steps = max(1, int(CALL_SECONDS * done / elapsed))
        run(batches, steps)
        done += steps
    return elapsed / done


def cost_of(config: JobConfig, model: GradientModel) -> Cost:
    """From the shapes of the model."""
    choices: Any = config.model
    schema = model.inputs.schema
    if config.model_name == "two_tower":
        history = schema.features[schema.history] if schema.history and choices.use_history else None
        length = history.length if isinstance(history, SequenceFeature) else 0
        return two_tower_cost(length, choices.embedding_dim, min(config.train.batch_size, model.inputs.num_items))
    fields = len(model.required_features)
    return ranking_cost(fields, choices.embedding_dim, choices.hidden_units)


def measure(config: JobConfig, strategy: tf.distribute.Strategy, seconds: float, *, is_gpu: bool) -> dict[str, Any]:
    model, data, step = prepare(config, strategy)
    run = compiled(step, strategy)
    batch_size = config.train.batch_size
    stream = StreamBatches(data.dataset, "train", batch_size, config.seed, columns=model.train_columns())
    input_seconds = drain(stream.forever(), seconds)
    one = next(iter(stream.forever()))
    resident = tf.data.Dataset.from_tensors(one).repeat()
    step_seconds = train(run, iter(strategy.experimental_distribute_dataset(resident)), seconds / 2)
    with Utilisation(is_gpu=is_gpu) as utilisation:
        both_seconds = train(run, iter(strategy.experimental_distribute_dataset(stream.forever())), seconds)
    device = "/gpu:0" if is_gpu else "/cpu:0"
    flops_rate, bytes_rate = measured_rates(device, config.train.precision, min(1.0, seconds))
    replicas = strategy.num_replicas_in_sync
    cost = cost_of(config, model)
    by_flops, by_bytes = cost.least_seconds(batch_size / replicas, flops_rate, bytes_rate)
    return {
        "model": config.model_name,
        "replicas": replicas,
        "batch_size": batch_size,
        "input_seconds": input_seconds,
        "step_seconds": step_seconds,
        "both_seconds": both_seconds,
        "utilisation": str(utilisation),
        "bound_by": bound_by(input_seconds, step_seconds, both_seconds),
        "flops_per_example": cost.flops,
        "table_bytes_per_example": cost.table_bytes,
        "device_flops": flops_rate,
        "device_bytes": bytes_rate,
        "arithmetic_seconds": by_flops,
        "traffic_seconds": by_bytes,
    }


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--dataset", required=True)
    flags.add_argument("--model", required=True)
    flags.add_argument("--seconds", type=float, default=60)
    flags.add_argument("--logical-devices", type=int, default=0)
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the job's config")
    chosen = flags.parse_args()
    strategy = make_strategy(chosen.logical_devices)
    fingerprint = DatasetDirectory(chosen.dataset).fingerprint
    config = resolve_config(
        chosen.model, None, chosen.set, dataset=chosen.dataset, dataset_fingerprint=fingerprint, seed=1
    )
    print(json.dumps(measure(config, strategy, chosen.seconds, is_gpu=not chosen.logical_devices)))


if __name__ == "__main__":
    main()
