"""Loss and gradients of the two-tower model on one device and on two replicas; a process of its own, see the test.

python replicas_process.py DATASET
"""

import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import tensorflow as tf

import tfrec  # noqa: F401
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.group_batches import GROUP
from tfrec.losses import InBatchSoftmax
from tfrec.models.towers.event_losses import EventLossConfig, event_loss
from tfrec.models.two_tower import TwoTower, TwoTowerConfig
from tfrec.schema import Label
from trainer.data import JobData

PARTS = (5, 3)  # uneven, as at the end of an epoch
KINDS = ("in_batch", "uniform", "popularity", "mixed", "catalogue")


def gradients_of(model, batch):
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    variables = model.trainable_variables
    return loss, [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]


def on_replicas(strategy, parts, function):
    """Sums over the replicas of what `function` returns for each part of the batch."""

    @tf.function
    def run():
        per_replica = tf.nest.map_structure(
            lambda *values: strategy.experimental_distribute_values_from_function(
                lambda context: values[context.replica_id_in_sync_group]
            ),
            *parts,
        )
        return strategy.run(function, args=(per_replica,))

    result = run()
    return tf.nest.map_structure(lambda v: sum(x.numpy() for x in strategy.experimental_local_results(v)), result)


def split(batch):
    return [{name: value[: PARTS[0]] for name, value in batch.items()},
            {name: value[PARTS[0] :] for name, value in batch.items()}]  # fmt: skip


def report(name, found, expected):
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
    assert any(np.abs(b).max() > 1e-3 for b in tf.nest.flatten(expected)), name
    print("same:", name, flush=True)


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
    )
    data = JobData(DatasetDirectory(sys.argv[1]))
    for kind in KINDS:
        config = TwoTowerConfig(
            embedding_dim=8, embedding_stddev=0.5, user_id_dropout=0.0, negatives={"kind": kind, "n": 20}
        )
        alone = TwoTower(config, data.model_inputs)
        batch = {name: tf.constant(data.train[name][: sum(PARTS)]) for name in alone.train_columns()}
        expected = tf.function(gradients_of)(alone, batch)
        with strategy.scope():
            mirrored = TwoTower(config, data.model_inputs)
        found = on_replicas(strategy, split(batch), lambda part, model=mirrored: gradients_of(model, part))
        report(kind, found, [expected[0].numpy(), [g.numpy() for g in expected[1]]])

    rng = np.random.default_rng(1)
    batch = {name: tf.constant(rng.normal(size=(8, 4)), tf.float32) for name in ("query", "candidate")}
    batch["ids"] = tf.constant([0, 1, 2, 1, 5, 1, 0, 7])
    batch["candidate"] = tf.gather(batch["candidate"], batch["ids"])
    batch["weight"] = tf.constant(rng.uniform(0.5, 2, 8), tf.float32)

    def task(part):
        with tf.GradientTape() as tape:
            tape.watch(part["query"])
            loss = InBatchSoftmax(0.7)(
                part["query"], part["candidate"], sample_weight=part["weight"], candidate_ids=part["ids"]
            )
        return loss, tf.reduce_sum(tape.gradient(loss, part["query"]) ** 2)

    events = {"logits": rng.normal(size=8), "label": rng.integers(0, 2, 8), "weight": rng.uniform(0.5, 2, 8)}
    events = {name: tf.constant(values, tf.float32) for name, values in events.items()}
    events[GROUP] = tf.constant([9, 4, 4, 9, 4, 2, 9, 4], tf.int64)  # the cut after row 5 tears them
    schema = SimpleNamespace(label=Label(column="x", threshold=1), weight=True)
    for kind in ("pointwise", "pairwise", "listwise"):

        def compared(part, kind=kind):
            with tf.GradientTape() as tape:
                tape.watch(part["logits"])
                loss = event_loss(EventLossConfig(loss=kind), schema, part, part["logits"])
            return loss, tf.reduce_sum(tf.convert_to_tensor(tape.gradient(loss, part["logits"])) ** 2)

        alone = tf.nest.map_structure(lambda t: t.numpy(), compared(events))
        report(kind, on_replicas(strategy, split(events), compared), alone)

    report("task", on_replicas(strategy, split(batch), task), tf.nest.map_structure(lambda t: t.numpy(), task(batch)))


if __name__ == "__main__":
    main()
