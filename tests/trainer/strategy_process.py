"""One process of a small job under the strategy that its TF_CONFIG and arguments name; the tests start several.

Trains the models that it is told on a dataset for some steps and writes what the tests need to know.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tfrec.command_line import run_command
from trainer.cluster.tf_config import read_cluster

# Without random draws, which would differ with the number of replicas.
OVERRIDES = {
    "deepfm": ("model.dropout=0", "model.input_dropout=0", "model.embedding_dim=8"),
    "two_tower": ("model.user_id_dropout=0", "model.embedding_dim=8"),
}
LEARNING_RATES = {"deepfm": 0.05, "two_tower": 2.0}
SHARD_ROWS = 100  # so that tables of the planted world are split


def arguments_of(arguments):
    flags = argparse.ArgumentParser()
    flags.add_argument("--dataset", required=True)
    flags.add_argument("--output", type=Path, required=True)
    flags.add_argument("--strategy")
    flags.add_argument("--models", nargs="+", default=list(OVERRIDES))
    flags.add_argument("--steps", type=int, default=10, help="per round")
    flags.add_argument(
        "--rounds", type=int, default=1, help="each after the first waits for the file OUTPUT/go-<round>"
    )
    flags.add_argument("--batch-size", type=int, default=1000)
    flags.add_argument("--logical-cpus", type=int, default=1)
    flags.add_argument("--restore", type=Path, help="the output directory of another run")
    flags.add_argument("--timeout", type=float, default=120)
    return flags.parse_args(arguments)


def main(arguments):
    flags = arguments_of(arguments)
    cluster = read_cluster()

    import tensorflow as tf

    from trainer.cluster.parameter_server import serve
    from trainer.cluster.placement import choose, split_cpu

    if flags.logical_cpus > 1:
        split_cpu(flags.logical_cpus)
    placement = choose(
        flags.strategy,
        cluster,
        num_logical_cpus=flags.logical_cpus,
        shard_rows=SHARD_ROWS,
        timeout_seconds=flags.timeout,
    )
    if placement.purpose == "serve":
        serve(cluster, timeout_seconds=flags.timeout, grace_seconds=20, is_finished=(flags.output / "result").exists)
        return
    result = {
        "replicas": placement.strategy.num_replicas_in_sync,
        "say": placement.chief_value(1.0 + placement.shard[0]),
    }
    for name in flags.models:
        with placement.strategy.scope():
            model, batches_of = build(name, flags)
        checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        if flags.restore:
            checkpoint.read(str(flags.restore / name)).assert_consumed()
        first = weights_of(model)
        run = train_on_servers if placement.name == "parameter-server" else train
        losses = run(placement, model, batches_of, flags)
        checkpoint.write(str(placement.checkpoint_directory(flags.output) / name))
        result[name] = {
            "losses": losses,
            "first": first,
            "shards": {name: len(parts) for name, parts in shards(model).items()},
            "iterations": int(model.optimizer.iterations.numpy()),
        }
    if placement.is_chief:
        (flags.output / "result.tmp").write_text(json.dumps(result))
        (flags.output / "result.tmp").rename(flags.output / "result")


def build(name, flags):
    from tfrec.dataset.directory import DatasetDirectory
    from tfrec.dataset.stream import StreamBatches
    from tfrec.optimizers import Adagrad, Group, RowOptimizer
    from trainer.config import resolve_config
    from trainer.data import JobData
    from trainer.model import build_model

    dataset = DatasetDirectory(flags.dataset)
    config = resolve_config(
        name, None, OVERRIDES[name], dataset=flags.dataset, dataset_fingerprint=dataset.fingerprint, seed=1
    )
    model = build_model(config, JobData(dataset))
    optimizer = RowOptimizer([Group(Adagrad(), LEARNING_RATES[name])])
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    columns = sorted(model.train_columns())

    def batches_of(index, count):
        size = flags.batch_size * count
        return StreamBatches(dataset, "train", size, seed=1, columns=columns, shard=(index, count)).forever()

    return model, batches_of


def step_of(model):
    import tensorflow as tf

    def step(batch):
        variables = model.trainable_variables
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        model.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step


def train(placement, model, batches_of, flags):
    import tensorflow as tf

    strategy, step = placement.strategy, step_of(model)

    @tf.function
    def one(batches):
        return strategy.reduce("SUM", strategy.run(step, args=(next(batches),)), axis=None)

    batches = iter(placement.distribute(batches_of(0, 1)))
    return [float(one(batches)) for _ in range(flags.steps)]


def train_on_servers(placement, model, batches_of, flags):
    from trainer.cluster.parameter_server import CoordinatorLoop

    loop = CoordinatorLoop(placement, step_of(model))
    batches = loop.iterator(batches_of)
    losses = []
    for number in range(flags.rounds):
        while number and not (flags.output / f"go-{number}").exists():
            time.sleep(0.1)
        left, total = flags.steps, 0.0
        while left:
            done, loss = loop.run(batches, left)
            left, total = left - done, total + loss
        losses.append(total / flags.steps)
        (flags.output / f"done-{number}").touch()
    return losses


def shards(model):
    """Name of a variable → its shards."""
    found = {}
    for variable in model.trainable_variables:
        found.setdefault(variable.name.partition(":")[0].partition("/part_")[0], []).append(variable)
    return found


def weights_of(model):
    import numpy as np

    values = {name: [part.numpy() for part in parts] for name, parts in shards(model).items()}
    return {name: (found[0] if len(found) == 1 else np.concatenate(found)).tolist() for name, found in values.items()}


if __name__ == "__main__":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    sys.exit(run_command(main))
