"""Masked items: which steps are masked, what is learnt of them, the mask behind the history; and the contract."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts import PersonalContract
from tests.tfrec.models.sequence_windows import (
    item_steps_by_hand,
    logits_by_hand,
    next_item_share,
    outputs_by_hand,
    windows,
)
from tests.tfrec.models.taken_items import inputs_of, request
from tfrec.dataset.window_batches import NEXT
from tfrec.errors import ConfigError
from tfrec.models.bert import Bert, BertConfig

SMALL = ("model.embedding_dim=32", "train.batch_size=600", "train.epochs=20", "train.learning_rate=0.01")


class TestBert(PersonalContract):
    model = "bert"
    overrides = (*SMALL, "train.schedule.warmup_steps=20")
    non_default = {
        "embedding_dim": 12,
        "embedding_stddev": 0.25,
        "item_features": ["genres"],
        "context_features": ["device"],
        "time": ["gap"],
        "context_dropout": 0.25,
        "item_dropout": 0.125,
        "length": 7,
        "loss": {"kind": "sampled_softmax", "num_negatives": 33, "alpha": 0.25},
        "encoder": {
            "kind": "attention",
            "layers": 3,
            "heads": 4,
            "expansion": 1.5,
            "dropout": 0.25,
            "relative_places": False,
            "relative_time": True,
        },
        "predicted_features": ["device"],
        "predicted_weight": 0.25,
        "objective": "permuted",
        "mask_share": 0.5,
        "mask_last_share": 0.125,
    }
    signatures = PersonalContract.signatures | {"user_embedding", "item_embedding"}
    favourite_genre_share, favourite_genre_gain = 0.5, 3.5


TAKEN = [[0, 1, 2, 1, 4], [3, 1], [5], [2, 0, 5, 3]]


def model_of(**choices):
    """A model without dropout whose every weight is drawn anew, so that none is 0."""
    config = BertConfig(**{"embedding_dim": 8, "encoder": {"dropout": 0.0}, **choices})
    model = Bert(config, inputs_of(TAKEN, 7, 6))
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.4, variable.shape))
    model.refresh()
    return model


def test_scores_are_those_of_a_mask_behind_the_history_of_which_the_latest_events_are_read():
    model = model_of(length=5)
    histories = [[0, 1, 2], [3], [5, 4, 3, 2, 1, 0]]
    found = model.scores(request([0, 1, None], histories)).numpy()
    for row, items in enumerate(histories):
        steps = [*item_steps_by_hand(model, items[-4:]), model._mask.numpy()]
        expected = logits_by_hand(model, outputs_by_hand(model, steps)[-1])
        np.testing.assert_allclose(found[row, :6], expected[:6], rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_mean_cross_entropy_of_the_masked_items_read_from_both_sides(monkeypatch):
    model = model_of()
    sequences = [[0, 1, 2, 1], [3, 1, 0]]
    masked = [{1, 3}, {2}]
    batch = windows([[*sequences[0], 6], [*sequences[1], 6]])  # the last event of each is no step
    batch = {name: values for name, values in batch.items() if not name.startswith(NEXT)}
    places = [place in masked[0] for place in range(4)] + [place in masked[1] for place in range(3)]
    monkeypatch.setattr(model, "_masked", lambda segments: tf.constant([places]))
    losses = []
    for items, hidden in zip(sequences, masked, strict=True):
        steps = item_steps_by_hand(model, items)
        steps = [model._mask.numpy() if place in hidden else step for place, step in enumerate(steps)]
        outputs = outputs_by_hand(model, steps)
        for place in hidden:
            logits = logits_by_hand(model, outputs[place])
            losses.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[items[place]])
    assert float(model.compute_loss(batch)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_permuted_loss_is_that_of_hidden_items_one_after_another_in_the_drawn_order(monkeypatch):
    """By plain loops: the hidden item is asked at its place, from what is not hidden and from those before it."""
    model = model_of(objective="permuted")
    sequences = [[0, 1, 2, 1, 4], [3, 1, 0]]
    orders = [{1: 0.7, 3: 0.2, 4: 0.9}, {2: 0.5}]
    drawn = np.full([1, 8], 0.4, np.float32)  # of what is not hidden nobody reads it
    batch = windows([[*sequences[0], 6], [*sequences[1], 6]])
    batch = {name: values for name, values in batch.items() if not name.startswith(NEXT)}
    hidden, losses = np.zeros([1, 8], bool), []
    for start, items, order in zip((0, 5), sequences, orders, strict=True):
        contents = item_steps_by_hand(model, items)
        for place, number in order.items():
            hidden[0, start + place], drawn[0, start + place] = True, number
            seen = [[t for t in range(len(items)) if order.get(t, 0) <= order.get(one, 0)] for one in range(len(items))]
            seen.append([t for t in range(len(items)) if order.get(t, 0) < number] + [len(items)])
            places = [*range(len(items)), place]
            output = outputs_by_hand(model, [*contents, model._mask.numpy()], places, seen)[-1]
            logits = logits_by_hand(model, output)
            losses.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[items[place]])
    monkeypatch.setattr(model, "_masked", lambda segments: tf.constant(hidden))
    monkeypatch.setattr(model, "_order", lambda segments: tf.constant(drawn))
    assert float(model.compute_loss(batch)) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("objective", ["masked", "permuted"])
def test_a_batch_in_which_nothing_is_masked_loses_nothing(monkeypatch, objective):
    model = model_of(objective=objective)
    monkeypatch.setattr(model, "_masked", lambda segments: tf.zeros_like(segments, tf.bool))
    assert float(model.compute_loss(windows([[0, 1, 2]]))) == 0


@pytest.mark.parametrize("last_share", [0.0, 0.5])
def test_masks_fall_on_their_share_of_steps_and_more_often_on_the_last_ones(last_share):
    model = model_of(mask_share=0.25, mask_last_share=last_share)
    segments = np.tile([1, 1, 1, 2, 2, 3, 0, 0], (4000, 1))
    masked = model._masked(tf.constant(segments)).numpy()
    assert not masked[segments == 0].any()
    is_last = np.array([0, 0, 1, 0, 1, 1, 0, 0], bool)
    for column in range(6):
        expected = 1 - 0.75 * (1 - last_share * is_last[column])
        assert abs(masked[:, column].mean() - expected) < 5 * math.sqrt(0.25 / 4000)


@pytest.mark.parametrize("objective", ["masked", "permuted"])
def test_what_comes_next_is_learnt(objective):
    choices = {"encoder": {"layers": 1, "dropout": 0.0}, "mask_last_share": 0.8, "objective": objective}
    assert next_item_share(Bert, BertConfig, steps=300, learning_rate=0.005, **choices) == 1


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"encoder": {"kind": "gru"}}, r"^model.encoder.kind=gru: reads in one direction[^\n]*choose attention, hstu$"),
        (
            {"loss": {"kind": "softmax", "exclude_seen": True}},
            r"^model.loss.exclude_seen: masked items[^\n]*leave it out$",
        ),
        ({"length": 1}, r"^model.length=1: leaves no step beside the mask;[^\n]*$"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(choices, message):
    with pytest.raises(ConfigError, match=message):
        model_of(**choices)
