"""Gated attention as the encoder of sequence models: against plain loops, packed against one by one, no look ahead."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.models.sequence_context import made
from tests.tfrec.models.sequence_windows import (
    PACKED,
    assert_neighbours_change_nothing,
    assert_no_look_ahead,
    item_steps_by_hand,
    logits_by_hand,
    next_item_share,
    normed,
    windows,
)
from tests.tfrec.models.taken_items import inputs_of, request
from tfrec.models.bert import Bert, BertConfig
from tfrec.models.sequences.encoder import Mode
from tfrec.models.transformer import Transformer, TransformerConfig

TAKEN = [[0, 1, 2, 1, 4], [3, 1], [5], [2, 0, 5, 3]]


def model_of(cls=Transformer, config=TransformerConfig, **choices):
    """A model without dropout whose every weight is drawn anew, so that none is 0."""
    encoder = {"kind": "hstu", "dropout": 0.0, **choices.pop("encoder", {})}
    return made(cls, config, inputs_of(TAKEN, 7, 6), encoder=encoder, **choices)


def silu(x):
    return x / (1 + np.exp(-x))


def outputs_by_hand(model, steps):
    """One vector per step of a sequence, a pair of steps at a time."""
    encoder, dim = model._encoder, model.config.embedding_dim
    heads, longest = model.config.encoder.heads, model._length
    width = dim // heads
    steps = [step + encoder.positions.numpy()[t] for t, step in enumerate(steps)]
    for number, layer in enumerate(encoder.layers_of):
        weights = [variable.numpy().astype(float) for variable in layer]
        norm_input, gates_values, queries_keys, norm_attended, output, output_bias = weights
        inner = [normed(x, norm_input) for x in steps]
        u, v = ([silu(x @ gates_values)[part] for x in inner] for part in (slice(dim), slice(dim, None)))
        q, k = ([silu(x @ queries_keys)[part] for x in inner] for part in (slice(dim), slice(dim, None)))
        added = []
        for t in range(len(steps)):
            joined = []
            for head in range(heads):
                part, total = slice(head * width, (head + 1) * width), np.zeros(width)
                for other in range(t + 1 if model.is_causal else len(steps)):
                    said = float(q[t][part] @ k[other][part])
                    if model.config.encoder.relative_places:
                        by_distance = encoder.bias_by_distance.numpy()[number, head]
                        said += by_distance[len(by_distance) // 2 + t - other]
                    total += silu(said) / longest * v[other][part]
                joined += list(total)
            added.append((normed(np.array(joined), norm_attended) * u[t]) @ output + output_bias)
        steps = [x + a for x, a in zip(steps, added, strict=True)]
    return [normed(x, encoder.norm_output.numpy()) for x in steps]


@pytest.mark.parametrize(("layers", "heads", "relative_places"), [(1, 1, False), (3, 2, True)])
def test_scores_are_those_of_plain_loops_over_the_history(layers, heads, relative_places):
    model = model_of(encoder={"layers": layers, "heads": heads, "relative_places": relative_places})
    histories = [[0, 1, 2], [3], [5, 4, 3, 2, 1, 0]]
    found = model.scores(request([0, 1, None], histories)).numpy()
    for row, items in enumerate(histories):
        expected = logits_by_hand(model, outputs_by_hand(model, item_steps_by_hand(model, items))[-1])
        np.testing.assert_allclose(found[row, :6], expected[:6], rtol=1e-4, atol=1e-4)


def test_scores_of_a_masked_model_are_those_of_plain_loops_over_both_sides():
    model = model_of(Bert, BertConfig)
    steps = [*item_steps_by_hand(model, [3, 0, 5]), model._mask.numpy()]
    expected = logits_by_hand(model, outputs_by_hand(model, steps)[-1])
    found = model.scores(request([0], [[3, 0, 5]])).numpy()[0]
    np.testing.assert_allclose(found[:6], expected[:6], rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_cross_entropy_of_every_next_item_one_sequence_at_a_time():
    model = model_of()
    losses = []
    for sequence in (s for row in PACKED for s in row):
        outputs = outputs_by_hand(model, item_steps_by_hand(model, sequence[:-1]))
        for output, following in zip(outputs, sequence[1:], strict=True):
            logits = logits_by_hand(model, output)
            losses.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[following])
    assert float(model.compute_loss(windows(*PACKED))) == pytest.approx(np.mean(losses), rel=1e-5)


def test_what_stands_beside_a_sequence_in_its_row_changes_nothing():
    assert_neighbours_change_nothing(model_of())


def test_a_later_item_never_changes_an_earlier_output():
    assert_no_look_ahead(model_of())


def test_dropout_is_of_training_alone_and_follows_from_its_seed():
    model = model_of(encoder={"dropout": 0.5})
    steps = model._asked(windows(*PACKED)).steps
    plain, *drawn = (
        model._encoder.encode(steps, Mode(tf.float32, seed)).numpy()
        for seed in (None, tf.constant([1, 2]), tf.constant([1, 2]), tf.constant([1, 3]))
    )
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], drawn[2])
    assert not np.allclose(drawn[0], plain)


@pytest.mark.parametrize("objective", ["causal", "masked", "permuted"])
def test_what_comes_next_is_learnt(objective):
    encoder = {"kind": "hstu", "layers": 1, "dropout": 0.0}
    if objective == "causal":
        assert next_item_share(Transformer, TransformerConfig, encoder=encoder) == 1
        return
    choices = {"encoder": encoder, "mask_last_share": 0.8, "objective": objective}
    assert next_item_share(Bert, BertConfig, steps=300, learning_rate=0.005, **choices) == 1
