"""Training of a model on a few thousand events in memory, without files, validation or checkpoints."""

import numpy as np
import tensorflow as tf

from tfrec.optimizers import Adam, Group, RowOptimizer


def train(model, records, *, epochs, batch_size=512, learning_rate=0.01):
    """`records`: columns of the training events, one entry per event; every batch is full."""
    optimizer = RowOptimizer([Group(Adam(), learning_rate)])
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)

    @tf.function(reduce_retracing=True)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    random = np.random.default_rng(1)
    rows = len(next(iter(records.values())))
    columns = {name: records[name] for name in model.train_columns()}
    for _ in range(epochs):
        order = random.permutation(rows)
        for start in range(0, rows - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            step({name: tf.constant(values[chosen]) for name, values in columns.items()})
    model.refresh()
