"""Loss and gradients of a matrix factorisation, on one device and on two replicas; a process of its own."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import numpy as np
import tensorflow as tf

import tfrec  # noqa: F401
from tests.tfrec.models.taken_items import FIRST_ID, inputs_of
from tests.tfrec.replicas_process import gradients_of, on_replicas, report, split
from tfrec.models.factors import tables
from tfrec.models.matrix_factorization import MatrixFactorization, MatrixFactorizationConfig
from tfrec.schema import Schema

TAKEN = [[0, 1, 2], [3, 1], [1, 4, 5, 2], [6, 0]]
# Of losses whose negatives are drawn alike on all replicas; the others differ by their draws alone.
SIDES = {
    "ratings": {"loss": "squared"},
    "svd++": {"loss": "squared", "implicit_history": True},
    "softmax": {"loss": "softmax", "negatives": {"kind": "uniform", "n": 20}},
    "memory": {"loss": "softmax", "memory_rows": 6, "implicit_history": True},
}


def rated():
    inputs = inputs_of(TAKEN, 7)
    schema = Schema.model_validate({**inputs.schema.model_dump(exclude_unset=True), "label": {"column": "rating"}})
    labels = np.random.default_rng(0).integers(1, 6, inputs.train.num_events).astype(np.float32)
    return replace(inputs, schema=schema, train=replace(inputs.train, labels=labels))


def main():
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # takes longer than the steps
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
    )
    inputs = rated()
    events = np.random.default_rng(1).permutation(inputs.train.num_events)[:8]
    users = inputs.train.users[events]
    columns = {
        "user_id": users + FIRST_ID,
        "user_index": users,
        "item_index": inputs.train.items[events],
        "label": inputs.train.labels[events],
    }
    for rows, names in ((1 << 14, SIDES), (0, ("svd++", "memory"))):  # tables as a whole, and distinct rows
        tables.WHOLE_ROWS = rows
        for name in names:
            more = SIDES[name]
            config = MatrixFactorizationConfig(embedding_dim=5, embedding_stddev=0.5, **more)
            alone = MatrixFactorization(config, inputs)
            batch = {column: tf.constant(columns[column]) for column in alone.train_columns()}
            expected = gradients_of(alone, batch)
            with strategy.scope():
                mirrored = MatrixFactorization(config, inputs)
            found = on_replicas(strategy, split(batch), lambda part, model=mirrored: gradients_of(model, part))
            report(f"{name} {rows}", found, [expected[0].numpy(), [g.numpy() for g in expected[1]]])
            if more.get("memory_rows"):
                same = [np.array_equal(a, b) for a, b in zip(memory(alone), memory(mirrored), strict=True)]
                assert all(same), same


def memory(model):
    """Ids and their number; vectors stand in the order of ids, which differs with the order within the batch."""
    ids, vectors, _ = (variable.numpy() for variable in model._softmax._memory.state)
    return np.sort(ids), np.sort(np.abs(vectors).sum(axis=1) > 0)


if __name__ == "__main__":
    main()
