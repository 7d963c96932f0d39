"""Batches of packed windows made from lists of items, and a small world in which what comes next is known."""

from itertools import pairwise

import numpy as np
import tensorflow as tf

from tests.tfrec.models.taken_items import inputs_of, request
from tfrec.dataset.window_batches import NEXT, SEGMENT, STEP
from tfrec.models.sequences.encoder import Mode
from tfrec.schema import ITEM_INDEX

PACKED = ([[0, 1, 2, 1], [3, 1]], [[5, 0], [2, 3, 4]])


def windows(*rows):
    """A batch of packed rows; each is a list of sequences, whose steps are all events but the last."""
    length = max(sum(len(s) - 1 for s in row) for row in rows)
    batch = {name: np.zeros([len(rows), length], np.int64) for name in (ITEM_INDEX, NEXT + ITEM_INDEX)}
    batch |= {name: np.zeros([len(rows), length], np.int32) for name in (SEGMENT, STEP)}
    for row, sequences in enumerate(rows):
        column = 0
        for number, sequence in enumerate(sequences, start=1):
            for step, (item, following) in enumerate(pairwise(sequence)):
                for name, value in (
                    (ITEM_INDEX, item),
                    (NEXT + ITEM_INDEX, following),
                    (SEGMENT, number),
                    (STEP, step),
                ):
                    batch[name][row, column] = value
                column += 1
    return {name: tf.constant(values) for name, values in batch.items()}


def encoded(model, batch):
    return model._encoder.encode(model._asked(batch).steps, Mode()).numpy()


def next_item_share(cls, config, steps=60, **choices):
    """After training on cycles 0 → 1 → … → 5 → 0: how often the next item comes first."""
    taken = [[(start + i) % 6 for i in range(5)] for start in range(6)]
    model = cls(config(embedding_dim=16, **choices), inputs_of(taken, 6, 6))
    optimizer = tf.keras.optimizers.Adam(0.02)
    model.compile(optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    batch = windows(*[[row] for row in taken])
    if not model.is_causal:
        batch = {name: value for name, value in batch.items() if not name.startswith(NEXT)}

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for _ in range(steps):
        step()
    model.refresh()
    scores = model.scores(request(range(6), [row[1:4] for row in taken])).numpy()
    return np.mean(scores.argmax(axis=1) == [(row[3] + 1) % 6 for row in taken])
