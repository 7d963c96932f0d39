"""What sequence models say of the next event besides its item: training against answers, formulas, known worlds."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.models.sequence_context import (
    ALL,
    HOUR_MS,
    SEQUENCES,
    START,
    batch_of,
    inputs_with_context,
    made,
    request_of,
    trained,
)
from tfrec.errors import ConfigError
from tfrec.models.bert import Bert, BertConfig
from tfrec.models.gru import GRU, GRUConfig
from tfrec.models.transformer import Transformer, TransformerConfig
from tfrec.schema import EVENT_TIME_MS, Schema

WEIGHT = 0.7
CHOICES = {**ALL, "predicted_features": ("device",), "predicted_weight": WEIGHT}
ATTENTION = {"dropout": 0.0, "relative_time": True}


def cross_entropies(model, past, event):
    """Of the item given the device, and of the device by itself; each from a request of its own."""
    item, device, time_ms = event
    scores = model.scores(request_of(past, device, time_ms)).numpy()[0].astype(float)
    devices = model.context_probabilities(request_of(past, device, time_ms))["device"].numpy()[0]
    return math.log(np.exp(scores).sum()) - scores[item], -math.log(devices[device])


@pytest.mark.parametrize(
    ("cls", "config", "encoder"), [(Transformer, TransformerConfig, ATTENTION), (GRU, GRUConfig, {"dropout": 0.0})]
)
def test_the_joint_loss_is_that_of_the_answers_to_each_request(cls, config, encoder):
    model = made(cls, config, inputs_with_context(SEQUENCES), encoder=encoder, **CHOICES)
    found = [cross_entropies(model, row[:step], row[step]) for row in SEQUENCES for step in range(1, len(row))]
    items, devices = np.mean(found, axis=0)
    assert float(model.compute_loss(batch_of(SEQUENCES))) == pytest.approx(items + WEIGHT * devices, rel=1e-4)


@pytest.mark.parametrize("objective", ["masked", "permuted"])
def test_the_joint_loss_of_a_mask_at_the_end_of_a_window_is_that_of_a_request(monkeypatch, objective):
    choices = {**CHOICES, "objective": objective, "encoder": ATTENTION}
    model = made(Bert, BertConfig, inputs_with_context(SEQUENCES), **choices)
    monkeypatch.setattr(model, "_masked", lambda segments: tf.constant([[0, 0, 0, 0, 1, 0, 0, 1]]) > 0)
    items, devices = np.mean([cross_entropies(model, row[:-1], row[-1]) for row in SEQUENCES], axis=0)
    found = float(model.compute_loss(batch_of(SEQUENCES, has_next=False)))
    assert found == pytest.approx(items + WEIGHT * devices, rel=1e-4)


def test_probabilities_are_the_softmax_of_the_query_of_a_request_that_does_not_say_the_feature():
    model = made(Transformer, TransformerConfig, inputs_with_context(SEQUENCES), encoder=ATTENTION, **CHOICES)
    request = request_of(SEQUENCES[0][:3], 1, START + 100 * HOUR_MS)
    unsaid = {**request, "device": tf.zeros_like(request["device"])}
    query = model.embed_users(unsaid).numpy()[0, :-2].astype(float)
    vectors, biases = (table["device"].numpy()[2:].astype(float) for table in (model._next.vectors, model._next.biases))
    powers = [math.exp(query @ vector + bias) for vector, (bias,) in zip(vectors, biases, strict=True)]
    found = model.context_probabilities(request)["device"].numpy()[0]
    np.testing.assert_allclose(found, np.array(powers) / sum(powers), rtol=1e-4)
    later = {**request, EVENT_TIME_MS: request[EVENT_TIME_MS] + 7 * HOUR_MS}
    assert np.abs(model.context_probabilities(later)["device"].numpy()[0] - found).max() > 1e-3


def test_of_whom_nothing_is_known_the_shares_of_the_training_are_said():
    model = made(Transformer, TransformerConfig, inputs_with_context(SEQUENCES), encoder=ATTENTION, **CHOICES)
    counts = np.bincount([device for row in SEQUENCES for _, device, _ in row]) + 1
    found = model.context_probabilities(request_of([], 1, START))["device"].numpy()[0]
    np.testing.assert_allclose(found, counts / counts.sum(), rtol=1e-6)


def test_values_that_training_does_not_have_are_not_asked():
    model = made(Transformer, TransformerConfig, inputs_with_context(SEQUENCES), encoder=ATTENTION, **CHOICES)
    unknown = [[(item, -1 if step == 2 else device, time) for step, (item, device, time) in enumerate(row)]
               for row in SEQUENCES]  # fmt: skip
    items, devices = [], []
    for row in unknown:
        for step in range(1, len(row)):
            item, device, time_ms = row[step]
            scores = model.scores(request_of(row[:step], device, time_ms)).numpy()[0].astype(float)
            items.append(math.log(np.exp(scores).sum()) - scores[item])
            if device >= 0:
                said = model.context_probabilities(request_of(row[:step], device, time_ms))["device"].numpy()[0]
                devices.append(-math.log(said[device]))
    expected = np.mean(items) + WEIGHT * np.mean(devices)
    assert len(devices) == len(items) - 2
    assert float(model.compute_loss(batch_of(unknown))) == pytest.approx(expected, rel=1e-4)


def funnels(seed):
    """Users whose next device is the first one in the morning, and the one after the last one later in the day."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(150):
        row, moment, device = [], START - START % (24 * HOUR_MS), int(random.integers(3))
        for _ in range(6):
            moment += int(random.integers(1, 48)) * HOUR_MS
            device = 0 if moment // HOUR_MS % 24 < 12 else (device + 1) % 3
            row.append((int(random.integers(2)), device, moment))
        rows.append(row)
    return rows


def test_what_follows_from_the_last_value_and_the_hour_is_found():
    log = funnels(3)
    choices = {"context_features": ("device",), "time": ("hour",), "predicted_features": ("device",)}
    model = trained(inputs_with_context(log, 2), log, **choices)
    said = []
    for *past, (_, device, moment) in funnels(4)[:40]:
        said.append(model.context_probabilities(request_of(past, 0, moment))["device"].numpy()[0][device])
    print(f"the true device was given {np.mean(said):.2f}")
    assert np.mean(said) > 0.8


STAPLES, OF_EACH, DAY_MS = range(3), 3, 24 * HOUR_MS


def baskets(seed):
    """Users whose baskets start with a staple and go on, at the same time, with one or two items of the user's own."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(100):
        row, moment, own = [], START, OF_EACH * int(random.integers(1, 3))
        for most in (2, 2, 0):
            items = own + random.permutation(OF_EACH)[: random.integers(min(1, most), most + 1)]
            row += [(int(item), 0, moment) for item in (random.choice(STAPLES), *items)]
            moment += int(random.integers(3, 9)) * DAY_MS
        rows.append(row)
    return rows


def test_the_time_of_the_request_says_whether_the_basket_goes_on_or_the_next_one_is_asked_for():
    """Items of a basket share their time: a gap of 0 asks for more of the same, days ask for the next basket."""
    log, num_items = baskets(5), 3 * OF_EACH
    inputs = inputs_with_context(log, num_items)
    model = trained(inputs, log, time=("gap",))
    more, following = [], []
    for row in baskets(6)[:40]:
        begun = row[: 2 + next(step for step, (*_, time) in enumerate(row) if time > START)]  # of the second basket two
        own, last = begun[-1][0] // OF_EACH, begun[-1][2]
        best = [
            int(model.scores(request_of(begun, 0, moment)).numpy().argmax()) for moment in (last, last + 5 * DAY_MS)
        ]
        more.append(best[0] // OF_EACH == own)
        following.append(best[1] in STAPLES)
    print(f"same basket {np.mean(more):.2f}, next basket {np.mean(following):.2f}")
    assert min(np.mean(more), np.mean(following)) > 0.9
    blind = made(Transformer, TransformerConfig, inputs)
    now, later = (blind.scores(request_of(log[0], 0, log[0][-1][2] + days * DAY_MS)).numpy() for days in (0, 5))
    np.testing.assert_array_equal(now, later)  # one answer to both questions, which cannot be right twice


def test_its_tables_are_as_large_as_it_says_and_belong_to_the_feature():
    inputs = inputs_with_context(SEQUENCES)
    model = made(Transformer, TransformerConfig, inputs, encoder=ATTENTION, **CHOICES)
    shapes = Transformer.table_shapes(model.config, inputs.schema, inputs.num_ids, inputs.num_items)
    stated = {shape.name: (shape.rows, shape.dim) for shape in shapes if shape.name.startswith("value")}
    tables = (model._next.vectors["device"], model._next.biases["device"])
    assert stated == {"value_of_device": tables[0].shape, "value_bias_of_device": tables[1].shape}
    owned = [one.variable.ref() for one in model.id_tables() if one.feature == "device"]
    assert {table.ref() for table in tables} <= set(owned)


NO_CONTEXT = r"^model.predicted_features: no encoded feature 'genre' of role context[^\n]*$"
SEVERAL = r"^model.predicted_features: 'device' is not one value of a vocabulary;[^\n]*$"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("genre", {}, NO_CONTEXT),
        ("device", {"hash_buckets": 5}, SEVERAL),
        ("device", {"separator": "|", "max_values": 2}, SEVERAL),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_one_line(name, change, message):
    inputs = inputs_with_context(SEQUENCES)
    content = inputs.schema.model_dump()
    content["features"]["device"] |= change
    del content["features"]["devices"]
    changed = replace(inputs, schema=Schema.model_validate(content))
    with pytest.raises(ConfigError, match=message):
        Transformer(TransformerConfig(embedding_dim=8, predicted_features=(name,)), changed)
