"""Loss and gradients of sequence models, on one device and on two replicas; a process of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import tensorflow as tf

import tfrec  # noqa: F401
from tests.tfrec.models.sequence_windows import windows
from tests.tfrec.models.taken_items import inputs_of
from tests.tfrec.replicas_process import gradients_of, on_replicas, report, split
from tfrec.models.gru import GRU, GRUConfig
from tfrec.models.transformer import Transformer, TransformerConfig

TAKEN = [[0, 1, 2, 1, 4], [3, 1], [5, 6], [2, 0, 5, 3]]
# Eight packed rows, of which one replica gets five; without dropout, whose masks are each replica's own.
ROWS = ([[0, 1, 2]], [[3, 1], [2, 0]], [[5, 6, 0]], [[1, 2]], [[4, 4, 1]], [[0, 5], [1, 3]], [[6, 2, 2]], [[2, 5]])
SIDES = {
    "transformer": (Transformer, TransformerConfig, {"kind": "softmax"}),
    "unseen": (Transformer, TransformerConfig, {"kind": "softmax", "exclude_seen": True}),
    "sampled": (Transformer, TransformerConfig, {"kind": "sampled_softmax", "num_negatives": 9}),
    "gru": (GRU, GRUConfig, {"kind": "top1_max", "num_negatives": 9}),
}


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
    )
    inputs, batch = inputs_of(TAKEN, 7, 6), windows(*ROWS)
    for name, (cls, config, loss) in SIDES.items():
        chosen = config(embedding_dim=6, embedding_stddev=0.5, loss=loss, encoder={"layers": 1, "dropout": 0.0})
        alone = cls(chosen, inputs)
        expected = tf.function(gradients_of)(alone, batch)
        with strategy.scope():
            mirrored = cls(chosen, inputs)
        found = on_replicas(strategy, split(batch), lambda part, model=mirrored: gradients_of(model, part))
        report(name, found, [expected[0].numpy(), [g.numpy() for g in expected[1]]])


if __name__ == "__main__":
    main()
