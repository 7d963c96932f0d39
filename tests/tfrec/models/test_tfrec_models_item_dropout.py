"""Hidden items of the past: which they are, that all else of their steps stays, and that answers know nothing of it."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.models.sequence_context import ALL, SEQUENCES, START, batch_of, inputs_with_context, made, request_of
from tests.tfrec.models.sequence_windows import PACKED, item_steps_by_hand, logits_by_hand, outputs_by_hand, windows
from tests.tfrec.models.taken_items import inputs_of
from tfrec.dataset.window_batches import NEXT
from tfrec.models.bert import Bert, BertConfig
from tfrec.models.gru import GRU, GRUConfig
from tfrec.models.sequences.encoder import Mode
from tfrec.models.sequences.item_dropout import partly_hidden
from tfrec.models.sequences.sequence_model import ITEM_SALT
from tfrec.models.transformer import Transformer, TransformerConfig
from tfrec.schema import ITEM_INDEX

TAKEN = [[0, 1, 2, 1, 4], [3, 1], [5], [2, 0, 5, 3]]
PLAIN = {"dropout": 0.0}
KINDS = pytest.mark.parametrize(
    ("cls", "config"), [(Transformer, TransformerConfig), (GRU, GRUConfig), (Bert, BertConfig)]
)


def transformer(share):
    """A model without any other dropout whose every weight is drawn anew, so that none is 0."""
    return made(Transformer, TransformerConfig, inputs_of(TAKEN, 7, 6), encoder=PLAIN, item_dropout=share)


def test_each_step_is_hidden_for_itself_in_its_share_of_cases():
    ids = tf.constant(np.tile(np.arange(2, 42), (500, 1)))
    hidden = partly_hidden(ids, 0.3, tf.constant([1, 2])).numpy() == 0
    near = 5 * math.sqrt(0.21)
    assert (abs(hidden.mean(axis=0) - 0.3) < near / math.sqrt(500)).all()
    both = hidden[:, 1:] & hidden[:, :-1]
    assert abs(both.mean() - 0.09) < near / math.sqrt(both.size)


def test_the_loss_is_that_of_plain_loops_in_which_some_items_are_not_told():
    """An item that is hidden has the vector of padding; what is asked at its step is still asked."""
    model = transformer(0.4)
    batch = windows(*PACKED)
    ids = tf.ones_like(batch[ITEM_INDEX])
    hidden = partly_hidden(ids, 0.4, model.draw_seed(ITEM_SALT)).numpy() == 0
    losses, hidden_steps = [], 0
    for row, sequences in enumerate(PACKED):
        column = 0
        for sequence in sequences:
            told = [-2 if hidden[row, column + t] else item for t, item in enumerate(sequence[:-1])]
            hidden_steps += told.count(-2)
            outputs = outputs_by_hand(model, item_steps_by_hand(model, told))
            for output, following in zip(outputs, sequence[1:], strict=True):
                logits = logits_by_hand(model, output)
                losses.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[following])
            column += len(told)
    assert 0 < hidden_steps < len(losses)
    assert float(model.compute_loss(batch, training=True)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_nothing_is_hidden_without_it_or_outside_of_training():
    batch = windows(*PACKED)
    expected = float(transformer(0.0).compute_loss(batch))
    assert float(transformer(0.0).compute_loss(batch, training=True)) == pytest.approx(expected, rel=1e-6)
    assert float(transformer(0.4).compute_loss(batch)) == pytest.approx(expected, rel=1e-6)
    assert float(transformer(0.4).compute_loss(batch, training=True)) != pytest.approx(expected, rel=1e-3)


@KINDS
def test_answers_are_those_of_a_model_without_it(cls, config):
    inputs = inputs_with_context(SEQUENCES)
    models = [made(cls, config, inputs, encoder=PLAIN, item_dropout=share, **ALL) for share in (0.0, 0.9)]
    scores = [model.scores(request_of(SEQUENCES[0][:3], 1, START)).numpy() for model in models]
    np.testing.assert_array_equal(*scores)


@KINDS
def test_with_nearly_all_items_hidden_context_and_time_still_count_and_items_do_not(cls, config, monkeypatch):
    share, inputs = 1 - 1e-9, inputs_with_context(SEQUENCES)
    choices = {"encoder": PLAIN, "item_dropout": share, "context_dropout": 0.0, "embedding_dim": 8, **ALL}
    model = made(cls, config, inputs, **choices)
    has_next = model.is_causal
    if not has_next:
        monkeypatch.setattr(model, "_masked", lambda segments: tf.constant([[0, 0, 0, 0, 1, 0, 0, 1]]) > 0)
    batch = batch_of(SEQUENCES, has_next=has_next)

    def outputs(**changed):
        return model._encoder.encode(model._asked(batch | changed, training=True).steps, Mode()).numpy()

    base = outputs()
    np.testing.assert_array_equal(base, outputs(**{ITEM_INDEX: (batch[ITEM_INDEX] + 1) % 7}))
    assert not np.allclose(base, outputs(device=batch["device"] % 3 + 2), atol=1e-3)
    if has_next:  # the targets are untouched
        np.testing.assert_array_equal(model._asked(batch, training=True).ids, batch[NEXT + ITEM_INDEX] + 2)


def test_what_is_hidden_follows_from_seed_and_step():
    batch = windows(*PACKED)

    def loss(seed, step):
        model = transformer(0.5)
        model.seed = seed
        model.compile(optimizer=tf.keras.optimizers.SGD())
        model.optimizer.iterations.assign(step)
        return float(model.compute_loss(batch, training=True))

    assert loss(1, 5) == loss(1, 5)
    assert len({loss(1, 5), loss(1, 6), loss(2, 5)}) == 3
