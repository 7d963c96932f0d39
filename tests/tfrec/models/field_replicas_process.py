"""Loss and gradients of two rankers over fields: on two replicas, and compiled by XLA; a process of its own.

python field_replicas_process.py DATASET
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import tensorflow as tf

import tfrec  # noqa: F401
from tests.tfrec.replicas_process import PARTS, gradients_of, on_replicas, report, split
from tfrec.dataset.directory import DatasetDirectory
from tfrec.models.registry import model_class
from tfrec.row_sums import compiled_by_xla
from trainer.data import JobData

# Every kind of field, crosses, and a past with attention; without dropout, which differs between replicas.
SETTINGS = {
    "embedding_dim": 4,
    "embedding_stddev": 0.5,
    "hidden_units": (6,),
    "kernel_l2": 0.01,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "history": "attention",
}


def main():
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # takes longer than the steps
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.HierarchicalCopyAllReduce()
    )
    data = JobData(DatasetDirectory(sys.argv[1]))

    def built(name):
        model = model_class(name)
        return model(model.Config(**SETTINGS), data.model_inputs)

    def expected_of(model):
        batch = {name: tf.constant(data.train[name][-sum(PARTS) :]) for name in model.train_columns()}
        return batch, tf.nest.map_structure(lambda t: t.numpy(), gradients_of(model, batch))

    batch, expected = expected_of(built("dcn"))
    with strategy.scope():
        mirrored = built("dcn")
    report("replicas", on_replicas(strategy, split(batch), lambda part: gradients_of(mirrored, part)), expected)

    alone = built("dlrm")
    batch, expected = expected_of(alone)
    with compiled_by_xla():
        found = tf.function(gradients_of, jit_compile=True, autograph=False)(alone, batch)
    report("xla", tf.nest.map_structure(lambda t: t.numpy(), found), expected)


if __name__ == "__main__":
    main()
