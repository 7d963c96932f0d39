"""Logs whose events are (item, device, time), for tests of context and time: model inputs, batches, requests."""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from tests.tfrec.models.taken_items import FIRST_ID, inputs_of
from tfrec.dataset.window_batches import NEXT, SEGMENT, STEP
from tfrec.models.inputs import Vocabulary
from tfrec.models.transformer import Transformer, TransformerConfig
from tfrec.schema import EVENT_TIME_MS, ITEM_INDEX, Schema

HOUR_MS = 3_600_000
LENGTH = 6


def inputs_with_context(sequences, num_items=7, *, devices=3):
    """Inputs of a log whose events are (item, device, time), with sequences of each beside the history."""
    inputs = inputs_of([[item for item, _, _ in row] for row in sequences], num_items, LENGTH)
    content = inputs.schema.model_dump()
    features = content["features"] | {
        "device": {"role": "context", "kind": "categorical"},
        "genre": {"role": "item", "kind": "categorical"},
        "devices": {"role": "user", "kind": "sequence", "length": LENGTH, "of": "device"},
        "times": {"role": "user", "kind": "sequence", "length": LENGTH, "of": "event_time_ms"},
    }
    content |= {"features": features, "timestamp": {"column": "time", "unit": "ms"}}
    num_ids = inputs.num_ids | {"device": 2 + devices, "devices": 2 + devices, "genre": 2 + 3}
    catalogue = replace(inputs.catalogue, features={**inputs.catalogue.features, "genre": 2 + np.arange(num_items) % 3})
    counts = np.bincount([device for row in sequences for _, device, _ in row], minlength=devices)
    context = {"device": Vocabulary(np.array([b"d%d" % device for device in range(devices)], object), counts)}
    schema = Schema.model_validate(content)
    return replace(inputs, schema=schema, num_ids=num_ids, catalogue=catalogue, context=context)


def batch_of(sequences, *, has_next=True):
    """One packed row of all sequences."""
    length = sum(len(s) - has_next for s in sequences)
    names = {ITEM_INDEX: 0, "device": 1, EVENT_TIME_MS: 2}
    batch = {name: np.zeros([1, length], np.int32) for name in (SEGMENT, STEP)}
    batch |= {prefix + name: np.zeros([1, length], np.int64) for name in names for prefix in ("", NEXT)[: 1 + has_next]}
    column = 0
    for number, sequence in enumerate(sequences, start=1):
        for step in range(len(sequence) - has_next):
            batch[SEGMENT][0, column], batch[STEP][0, column] = number, step
            for name, place in names.items():
                shift = 2 if name == "device" else 0
                batch[name][0, column] = sequence[step][place] + shift
                if has_next:
                    batch[NEXT + name][0, column] = sequence[step + 1][place] + shift
            column += 1
    return {name: tf.constant(values) for name, values in batch.items()}


def request_of(past, device, time_ms):
    """A request of nobody known with a past, the latest events of which fit."""
    past = past[-LENGTH:]
    padding = [0] * (LENGTH - len(past))
    columns = {
        "user_id": [1],
        "history": [[FIRST_ID + item for item, _, _ in past] + padding],
        "devices": [[2 + one for _, one, _ in past] + padding],
        "times": [[time for _, _, time in past] + padding],
        "device": [2 + device],
        EVENT_TIME_MS: [time_ms],
    }
    return {name: tf.constant(values, tf.int64) for name, values in columns.items()}


START = 1_700_000_000_000
SEQUENCES = [
    [
        (0, 0, START),
        (1, 2, START + 5_000),
        (2, 1, START + 90 * HOUR_MS),
        (6, 0, START + 91 * HOUR_MS),
        (3, 1, START * 2),
    ],
    [(4, 2, START + 7), (5, 0, START + 11 * HOUR_MS), (0, 0, START + 400 * HOUR_MS)],
]
ALL = {"context_features": ("device",), "item_features": ("genre",), "time": ("gap", "hour", "weekday")}


def made(cls, config, inputs, **choices):
    """A model without dropout whose every weight is drawn anew, so that none is 0."""
    model = cls(config(**{"embedding_dim": 8, **choices}), inputs)
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.3, variable.shape))
    model.refresh()
    return model


def trained(inputs, sequences, steps=60, **choices):
    """A small transformer after some steps, each on all of the log."""
    model = Transformer(TransformerConfig(embedding_dim=16, encoder={"layers": 1, "dropout": 0.0}, **choices), inputs)
    optimizer = tf.keras.optimizers.Adam(0.02)
    model.compile(optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    batch = batch_of(sequences)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for _ in range(steps):
        step()
    model.refresh()
    return model
