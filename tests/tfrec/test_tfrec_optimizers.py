"""The optimiser against NumPy, weight by weight and step by step, and against Keras where Keras has the same rule."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrec.optimizers import SGD, Adagrad, Adam, Ftrl, Group, RowOptimizer, by_rows

ROWS, DIM, STEPS = 7, 3, 12


def adam(w, slots, g, t, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m, v = slots
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g * g
    w -= rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)


def adagrad(w, slots, g, t, rate, epsilon=1e-7):
    slots[0] += g * g
    w -= rate * g / np.sqrt(slots[0] + epsilon)


def ftrl(w, slots, g, t, rate, l1=0.02, l2=0.3):
    n, z = slots
    grown = n + g * g
    z += g - (np.sqrt(grown) - np.sqrt(n)) / rate * w
    n[...] = grown
    w[...] = np.where(np.abs(z) <= l1, 0.0, (np.sign(z) * l1 - z) / (np.sqrt(grown) / rate + 2 * l2))


def sgd(w, slots, g, t, rate):
    w -= rate * g


RULES = [
    (Adam(), adam, (0.0, 0.0)),
    (Adagrad(), adagrad, (0.1,)),
    (Ftrl(l1=0.02, l2=0.3), ftrl, (0.1, None)),
    (SGD(), sgd, ()),
]


def first_slot(weights, value, rate=0.1, l1=0.02, l2=0.3):
    """Of one number; of FTRL's z (None) the values whose weights are the given ones."""
    if value is not None:
        return np.full_like(weights, value)
    return -weights * (math.sqrt(0.1) / rate + 2 * l2) - l1 * np.sign(weights)


def batches(seed=0):
    """Row numbers with repetitions, and a gradient for each."""
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        rows = rng.integers(0, ROWS - 1, rng.integers(1, 6))  # the last row is never touched
        yield rows, rng.normal(size=(len(rows), DIM)).astype(np.float32)


def make(rule, rate=0.1, **more):
    table = tf.Variable(np.linspace(-1, 1, ROWS * DIM, dtype=np.float32).reshape(ROWS, DIM), name="table")
    optimizer = RowOptimizer([Group(rule, rate)], **more)
    optimizer.build([table])
    return table, optimizer


def apply(optimizer, table, rows, gradients):
    optimizer.apply_gradients([(tf.IndexedSlices(gradients, rows, tf.constant([ROWS, DIM])), table)])


@pytest.fixture(params=["small tables in a sweep", "rows gathered and scattered"])
def path(request, monkeypatch):
    if request.param.startswith("rows"):
        monkeypatch.setattr(by_rows, "SMALL_TABLE", 0)
    return request.param


@pytest.mark.parametrize(("rule", "oracle", "first"), RULES)
def test_only_rows_of_the_batch_change_each_once_with_the_sum_of_its_gradients(rule, oracle, first, path):
    table, optimizer = make(rule)
    expected = table.numpy().astype(np.float64)
    slots = [first_slot(expected, value) for value in first]
    for step, (rows, gradients) in enumerate(batches(), start=1):
        apply(optimizer, table, rows, gradients)
        for row in set(rows):
            summed = gradients[rows == row].astype(np.float64).sum(axis=0)
            oracle(expected[row], [slot[row] for slot in slots], summed, step, 0.1)
    np.testing.assert_allclose(table.numpy(), expected, rtol=2e-5, atol=1e-6)
    assert not np.array_equal(table.numpy()[0], np.linspace(-1, 1, ROWS * DIM).reshape(ROWS, DIM)[0])


@pytest.mark.parametrize(("rule", "oracle", "first"), RULES)
def test_a_matrix_follows_the_same_rule(rule, oracle, first):
    table, optimizer = make(rule)
    expected = table.numpy().astype(np.float64)
    slots = [first_slot(expected, value) for value in first]
    rng = np.random.default_rng(1)
    for step in range(1, STEPS):
        gradient = rng.normal(size=(ROWS, DIM)).astype(np.float32)
        optimizer.apply_gradients([(tf.constant(gradient), table)])
        oracle(expected, slots, gradient.astype(np.float64), step, 0.1)
    np.testing.assert_allclose(table.numpy(), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "keras"),
    [
        (Adam(dense=True), lambda: tf.keras.optimizers.Adam(0.1)),
        (Adagrad(), lambda: tf.keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.1)),
        (SGD(), lambda: tf.keras.optimizers.SGD(0.1)),
    ],
)
def test_where_keras_has_the_rule_it_gives_the_same(rule, keras, path):
    table, optimizer = make(rule)
    other, theirs = tf.Variable(table), keras()
    for rows, gradients in batches():
        apply(optimizer, table, rows, gradients)
        theirs.apply_gradients([(tf.IndexedSlices(gradients, rows, tf.constant([ROWS, DIM])), other)])
    np.testing.assert_allclose(table.numpy(), other.numpy(), rtol=1e-4, atol=1e-6)


def test_ftrl_on_a_matrix_is_what_keras_computes():
    table, _ = make(Ftrl())
    table.assign(tf.zeros_like(table))  # Keras forgets the weight with which a variable begins
    optimizer = RowOptimizer([Group(Ftrl(l1=0.02, l2=0.3), 0.1)])
    optimizer.build([table])
    other = tf.Variable(table)
    theirs = tf.keras.optimizers.Ftrl(0.1, l1_regularization_strength=0.02, l2_regularization_strength=0.3)
    rng = np.random.default_rng(3)
    for _ in range(STEPS):
        gradient = tf.constant(rng.normal(size=(ROWS, DIM)).astype(np.float32))
        optimizer.apply_gradients([(gradient, table)])
        theirs.apply_gradients([(gradient, other)])
    np.testing.assert_allclose(table.numpy(), other.numpy(), rtol=1e-4, atol=1e-6)


def test_ftrl_keeps_a_weight_that_is_there_and_a_rate_that_falls_does_not_shrink_it():
    variable, rates = tf.Variable([0.5, -0.3, 0.0]), tf.Variable(0.1)
    optimizer = RowOptimizer([Group(Ftrl(l1=0.01, l2=0.1), lambda step: rates)])
    optimizer.build([variable])
    optimizer.apply_gradients([(tf.constant([1e-4, 0.0, 0.0]), variable)])
    np.testing.assert_allclose(variable.numpy(), [0.5, -0.3, 0.0], atol=1e-3)
    plain = RowOptimizer([Group(Ftrl(), lambda step: rates)])
    plain.build([variable])
    before = variable.numpy()
    for rate in (0.1, 0.05, 0.0):
        rates.assign(rate)
        plain.apply_gradients([(tf.constant([0.0, 0.0, 0.0]), variable)])
        np.testing.assert_allclose(variable.numpy(), before, atol=1e-6)


def test_the_joint_norm_is_clipped_after_the_gradients_of_a_row_are_summed(path):
    table, optimizer = make(SGD(), rate=1.0, clip_norm=0.5)
    bias = tf.Variable([1.0])
    optimizer = RowOptimizer([Group(SGD(), 1.0)], clip_norm=0.5)
    optimizer.build([table, bias])
    before = table.numpy()
    rows, gradients = np.array([2, 2, 4]), np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    slices = tf.IndexedSlices(gradients, rows, tf.constant([ROWS, DIM]))
    optimizer.apply_gradients([(slices, table), (tf.constant([2.0]), bias)])
    norm = math.sqrt(2**2 + 1 + 2**2)
    change = before - table.numpy()
    np.testing.assert_allclose(change[2], [0.5 * 2 / norm, 0, 0], atol=1e-6)
    np.testing.assert_allclose(change[4], [0, 0, 0.5 / norm], atol=1e-6)
    np.testing.assert_allclose(bias.numpy(), [1 - 0.5 * 2 / norm], rtol=1e-6)


def test_each_group_has_its_rule_and_its_rate_and_a_schedule_counts_steps():
    wide, deep = tf.Variable([1.0, 1.0], name="wide"), tf.Variable([1.0, 1.0], name="deep")
    groups = [
        Group(SGD(), 0.5, lambda name: name == "wide"),
        Group(SGD(), lambda step: 10.0 ** -tf.cast(step, tf.float32)),
    ]
    optimizer = RowOptimizer(groups)
    optimizer.build([wide, deep])
    for _ in range(3):
        optimizer.apply_gradients([(tf.constant([1.0, 0.0]), wide), (tf.constant([1.0, 0.0]), deep)])
    np.testing.assert_allclose(wide.numpy(), [1 - 3 * 0.5, 1.0])
    np.testing.assert_allclose(deep.numpy(), [1 - 1.11, 1.0], rtol=1e-6)
    assert optimizer.rate_at(2) == pytest.approx(0.01)


def test_a_variable_of_no_group_is_refused():
    with pytest.raises(ValueError, match="no group of the optimiser holds the variable 'deep'"):
        RowOptimizer([Group(SGD(), 0.5, lambda name: name == "wide")]).build([tf.Variable([1.0], name="deep")])


@pytest.mark.parametrize("decay", [0.3, 0.5, 0.95])
def test_the_average_is_the_recursion_step_by_step_for_touched_and_untouched_rows(decay, path):
    """Also where weights are read in the middle, and with a matrix beside the table."""
    table, _ = make(SGD())
    bias = tf.Variable([1.0, 2.0])
    optimizer = RowOptimizer([Group(SGD(), 0.1)], average_decay=decay)
    optimizer.build([table, bias])
    expected, of_bias = table.numpy().astype(np.float64), bias.numpy().astype(np.float64)
    variables = [table, bias]
    for step, (rows, gradients) in enumerate(batches(5), start=1):
        slices = tf.IndexedSlices(gradients, rows, tf.constant([ROWS, DIM]))
        optimizer.apply_gradients([(slices, table), (tf.constant([0.3, -0.1]) * step, bias)])
        share = min(decay, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * table.numpy()
        of_bias = share * of_bias + (1 - share) * bias.numpy()
        if step in (4, STEPS):
            weights = table.numpy()
            optimizer.average.put_in_place(variables, optimizer.iterations)
            np.testing.assert_allclose(table.numpy(), expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(bias.numpy(), of_bias, rtol=1e-5)
            optimizer.average.restore(variables)
            np.testing.assert_array_equal(table.numpy(), weights)


def test_the_average_of_a_row_that_is_not_touched_for_long_is_exact():
    """Over the step at which the decay stops to rise."""
    optimizer = RowOptimizer([Group(SGD(), 0.1)], average_decay=0.9)
    variable = tf.Variable(tf.zeros([2, 1]))
    optimizer.build([variable])
    average = optimizer.average.of(0)
    shadow, value = 1.0, 5.0
    for step in range(8, 201):
        share = min(0.9, (1 + step) / (10 + step))
        shadow = share * shadow + (1 - share) * value
    kept = float(average._kept_share(tf.constant(7.0), tf.constant(200, tf.int64)))
    assert value + (1.0 - value) * kept == pytest.approx(shadow, rel=1e-9)


def test_a_restored_optimiser_goes_on_as_if_it_had_not_stopped(tmp_path, path):
    def run(table, optimizer, wanted):
        for rows, gradients in wanted:
            apply(optimizer, table, rows, gradients)

    whole, first = make(Adam(), average_decay=0.9), make(Adam(), average_decay=0.9)
    run(*whole, list(batches()))
    run(*first, list(batches())[:5])
    saved = tf.train.Checkpoint(table=first[0], optimizer=first[1]).save(str(tmp_path / "ckpt"))
    table, optimizer = make(Adam(), average_decay=0.9)
    tf.train.Checkpoint(table=table, optimizer=optimizer).restore(saved).assert_consumed()
    run(table, optimizer, list(batches())[5:])
    np.testing.assert_array_equal(table.numpy(), whole[0].numpy())
    for one, other in zip(optimizer.variables, whole[1].variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
