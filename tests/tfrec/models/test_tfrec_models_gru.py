"""The recurrent encoder against plain loops and numeric gradients, packed against one by one, and the contract."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts import PersonalContract
from tests.tfrec.models.sequence_windows import PACKED, encoded, next_item_share, windows
from tests.tfrec.models.taken_items import inputs_of, request
from tfrec.models.gru import GRU, GRUConfig
from tfrec.models.sequences.recurrent import scan

SMALL = ("model.embedding_dim=32", "train.batch_size=600", "train.epochs=12", "train.learning_rate=0.01")


class TestGRU(PersonalContract):
    model = "gru"
    overrides = (*SMALL, "train.schedule.warmup_steps=20")
    non_default = {
        "embedding_dim": 12,
        "embedding_stddev": 0.25,
        "item_features": ["genres"],
        "context_features": ["device"],
        "time": ["weekday"],
        "context_dropout": 0.25,
        "item_dropout": 0.125,
        "predicted_features": ["device"],
        "predicted_weight": 0.25,
        "length": 7,
        "loss": {"kind": "bpr_max", "num_negatives": 33, "alpha": 0.25, "penalty": 0.125},
        "encoder": {"kind": "gru", "layers": 3, "dropout": 0.25},
    }
    signatures = PersonalContract.signatures | {"user_embedding", "item_embedding"}
    favourite_genre_share, favourite_genre_gain = 0.5, 3.5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def states_by_hand(inputs, goes_on, recurrent, state_bias):
    length, rows, dim = *inputs.shape[:2], len(state_bias)
    states = np.zeros([length, rows, dim])
    for row in range(rows):
        state = np.zeros(dim)
        for t in range(length):
            state = state * goes_on[t, row, 0]
            recalled = [sum(state[k] * recurrent[k, j] for k in range(dim)) for j in range(3 * dim)]
            new = np.zeros(dim)
            for d in range(dim):
                z = sigmoid(inputs[t, row, d] + recalled[d])
                r = sigmoid(inputs[t, row, dim + d] + recalled[dim + d])
                n = math.tanh(inputs[t, row, 2 * dim + d] + r * (recalled[2 * dim + d] + state_bias[d]))
                new[d] = (1 - z) * n + z * state[d]
            states[t, row] = state = new
    return states


def test_states_and_their_gradients_are_those_of_plain_loops():
    random = np.random.default_rng(1)
    goes_on = np.array([[0, 0], [1, 1], [1, 0], [0, 1]], float)[:, :, None]
    values = [random.normal(size=size) for size in ((4, 2, 9), (3, 9), (3,))]
    weights = random.normal(size=(4, 2, 3))
    tensors = [tf.constant(value, tf.float32) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        states = scan(tensors[0], tf.constant(goes_on, tf.float32), *tensors[1:])
        total = tf.reduce_sum(states * tf.constant(weights, tf.float32))
    np.testing.assert_allclose(states, states_by_hand(values[0], goes_on, *values[1:]), rtol=1e-4, atol=1e-5)
    for place, found in enumerate(tape.gradient(total, tensors)):
        for index in list(np.ndindex(values[place].shape))[::3]:
            sides = []
            for step in (1e-5, -1e-5):
                moved = [value.copy() for value in values]
                moved[place][index] += step
                sides.append((states_by_hand(moved[0], goes_on, *moved[1:]) * weights).sum())
            assert float(found[index]) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-3, abs=1e-4)


def model_of(layers):
    encoder = {"layers": layers, "dropout": 0.0}
    model = GRU(GRUConfig(embedding_dim=6, encoder=encoder), inputs_of([[0, 1, 2, 1, 4], [3, 1], [5]], 7, 6))
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.4, variable.shape))
    model.refresh()
    return model


@pytest.mark.parametrize("layers", [1, 2])
def test_scores_are_those_of_plain_loops_over_the_history(layers):
    model = model_of(layers)
    table, bias = model._items.table.numpy().astype(float), model._items.bias.numpy()[:, 0]
    histories = [[0, 1, 2], [3], [5, 4, 3, 2, 1, 0]]
    found = model.scores(request([0, 1, None], histories)).numpy()
    for row, items in enumerate(histories):
        values = np.array([table[2 + item] * math.sqrt(6) for item in items])[:, None]
        goes_on = (np.arange(len(items)) > 0).astype(float)[:, None, None]
        encoder = model._encoder
        for layer in range(layers):
            gates = values @ encoder.kernels[layer].numpy() + encoder.biases[layer].numpy()
            state_bias = encoder.state_biases[layer].numpy()
            values = states_by_hand(gates, goes_on, encoder.recurrent[layer].numpy(), state_bias)
        last = values[-1, 0]
        output = encoder.norm_output.numpy() * last / math.sqrt((last**2).mean() + 1e-6)
        for item in (0, 1, 2, 3, 4, 5):
            assert found[row, item] == pytest.approx(output @ table[2 + item] + bias[2 + item], rel=1e-4, abs=1e-4)


def test_what_stands_beside_a_sequence_in_its_row_changes_nothing():
    model = model_of(2)
    packed = encoded(model, windows(*PACKED))
    for row, sequences in enumerate(PACKED):
        column = 0
        for sequence in sequences:
            alone = encoded(model, windows([sequence]))[0]
            np.testing.assert_allclose(packed[row, column : column + len(alone)], alone, rtol=1e-4, atol=1e-5)
            column += len(alone)


@pytest.mark.parametrize("loss", ["softmax", "bpr_max", "top1_max"])
def test_the_losses_of_the_papers_learn_what_comes_next(loss):
    more = {} if loss == "softmax" else {"num_negatives": 40}
    assert next_item_share(GRU, GRUConfig, loss={"kind": loss, **more}, encoder={"dropout": 0.1}) == 1
