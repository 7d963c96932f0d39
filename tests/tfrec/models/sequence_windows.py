"""Batches of packed windows made from lists of items, a small world in which what comes next is known, plain loops."""

import math
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


def next_item_share(cls, config, steps=60, learning_rate=0.02, **choices):
    """After training on cycles 0 → 1 → … → 5 → 0: how often the next item comes first."""
    taken = [[(start + i) % 6 for i in range(5)] for start in range(6)]
    model = cls(config(embedding_dim=16, **choices), inputs_of(taken, 6, 6))
    optimizer = tf.keras.optimizers.Adam(learning_rate)
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


def normed(x, gains):
    return gains * x / math.sqrt((x**2).mean() + 1e-6)


def item_steps_by_hand(model, items):
    """What the encoder reads of items alone."""
    table = model._items.table.numpy().astype(float)
    return [table[2 + item] * math.sqrt(model.config.embedding_dim) for item in items]


def outputs_by_hand(model, steps, places=None, seen=None):
    """One vector per step of a sequence through layers of attention, a step at a time.

    `places` and what is `seen` by each step are those of the objective, unless they are told.
    """
    encoder, dim = model._encoder, model.config.embedding_dim
    if seen is None:
        seen = [range(t + 1 if model.is_causal else len(steps)) for t in range(len(steps))]
    places = list(places or range(len(steps)))
    steps = [step + encoder.positions.numpy()[t] for t, step in zip(places, steps, strict=True)]
    heads = model.config.encoder.heads
    width = dim // heads
    for number, layer in enumerate(encoder.layers_of):
        weights = [variable.numpy().astype(float) for variable in layer]
        norm_attention, queries, keys_values, output, norm_wide, wide, wide_bias, narrow, narrow_bias = weights
        inner = [normed(x, norm_attention) for x in steps]
        attended = []
        for t in range(len(steps)):
            joined = []
            for head in range(heads):
                part = slice(head * width, (head + 1) * width)
                query = (inner[t] @ queries)[part]
                keys = [(inner[other] @ keys_values[:, :dim])[part] for other in seen[t]]
                values = [(inner[other] @ keys_values[:, dim:])[part] for other in seen[t]]
                logits = [float(query @ key) / math.sqrt(width) for key in keys]
                if model.config.encoder.relative_places:
                    by_distance = encoder.bias_by_distance.numpy()[number, head]
                    middle = len(by_distance) // 2
                    biases = [by_distance[middle + places[t] - places[other]] for other in seen[t]]
                    logits = [logit + bias for logit, bias in zip(logits, biases, strict=True)]
                total = sum(math.exp(logit) for logit in logits)
                joined += list(sum(math.exp(logit) / total * v for logit, v in zip(logits, values, strict=True)))
            attended.append(np.array(joined) @ output)
        steps = [x + a for x, a in zip(steps, attended, strict=True)]
        steps = [x + np.maximum(normed(x, norm_wide) @ wide + wide_bias, 0) @ narrow + narrow_bias for x in steps]
    return [normed(x, encoder.norm_output.numpy()) for x in steps]


def logits_by_hand(model, output):
    table, bias = model._items.table.numpy().astype(float), model._items.bias.numpy()[:, 0]
    return [float(output @ table[2 + item]) + bias[2 + item] for item in range(7)]


def assert_neighbours_change_nothing(model):
    """What stands beside a sequence in its row is not seen: packed, its outputs are those of it alone."""
    packed = encoded(model, windows(*PACKED))
    for row, sequences in enumerate(PACKED):
        column = 0
        for sequence in sequences:
            alone = encoded(model, windows([sequence]))[0]
            np.testing.assert_allclose(packed[row, column : column + len(alone)], alone, rtol=1e-4, atol=1e-5)
            column += len(alone)


def assert_no_look_ahead(model):
    """A later item never changes an earlier output."""
    one, other = encoded(model, windows([[0, 1, 2, 3, 4]])), encoded(model, windows([[0, 1, 5, 3, 4]]))
    np.testing.assert_array_equal(one[0, :2], other[0, :2])
    assert not np.allclose(one[0, 2:], other[0, 2:])
