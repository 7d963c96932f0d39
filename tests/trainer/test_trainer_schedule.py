"""Learning rates against their formulas in plain Python."""

import math

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import Schedule
from trainer.training.schedule import learning_rate


def formula(kind, t, rate, w, d, end):
    """The table of trainer/training/schedule.py, step by step."""
    if t < w:
        return rate * (t + 1) / w
    s = t - w
    if kind == "inverse_sqrt":
        return rate * math.sqrt(max(w, 1) / (max(w, 1) + s))
    s = min(s, d)
    return (
        rate
        * {
            "constant": lambda: 1.0,
            "linear": lambda: 1 - (1 - end) * s / d,
            "cosine": lambda: end + (1 - end) * (1 + math.cos(math.pi * s / d)) / 2,
            "exponential": lambda: end ** (s / d),
        }[kind]()
    )


def rates(config, rate, total, steps):
    found = learning_rate(config, rate, total)
    return [float(found(tf.constant(t, tf.int64))) if callable(found) else found for t in steps]


KINDS = ["constant", "linear", "cosine", "exponential", "inverse_sqrt"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("decay", [None, 20])
def test_a_schedule_is_its_formula_at_every_step_and_beyond_its_end(kind, warmup, decay):
    config = Schedule(kind=kind, warmup_steps=warmup, decay_steps=decay, end=0.1)
    expected = [formula(kind, t, 0.5, warmup, decay or 40 - warmup, 0.1) for t in range(60)]
    assert rates(config, 0.5, 40, range(60)) == pytest.approx(expected, rel=1e-5)


@given(
    kind=st.sampled_from(KINDS),
    warmup=st.integers(0, 10_000),
    decay=st.integers(1, 10**7),
    end=st.floats(0.001, 1),
    rate=st.floats(1e-6, 10),
    step=st.integers(0, 10**7),
)
def test_a_schedule_is_its_formula_for_long_runs(kind, warmup, decay, end, rate, step):
    config = Schedule(kind=kind, warmup_steps=warmup, decay_steps=decay, end=end)
    expected = formula(kind, step, rate, warmup, decay, end)
    assert rates(config, rate, 1, [step]) == pytest.approx([expected], rel=1e-3)  # float32 near the end of a cosine


@pytest.mark.parametrize("kind", KINDS)
def test_warm_up_rises_in_equal_steps_to_the_whole_rate_and_is_never_zero(kind):
    found = rates(Schedule(kind=kind, warmup_steps=4), 0.8, 100, range(5))
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8], rel=1e-6)


@pytest.mark.parametrize("kind", ["linear", "cosine", "exponential"])
def test_the_end_is_reached_when_all_steps_are_taken_and_stays(kind):
    at = rates(Schedule(kind=kind, warmup_steps=10, end=0.05), 2.0, 100, [99, 100, 101, 5000])
    assert at[0] > at[1]
    assert at[1:] == pytest.approx([0.1, 0.1, 0.1], rel=1e-5)


def test_a_rate_that_decays_to_nothing_ends_at_zero_and_not_below():
    for kind in ("linear", "cosine"):
        assert rates(Schedule(kind=kind, end=0.0), 1.0, 10, [10, 50]) == [0.0, 0.0]
    with pytest.raises(ValueError, match="an exponential schedule never reaches 0"):
        Schedule(kind="exponential", end=0.0)


def test_a_constant_rate_without_warm_up_is_a_number():
    assert learning_rate(Schedule(), 0.25, 100) == 0.25


@pytest.mark.parametrize("total", [1, 5])
def test_a_warm_up_longer_than_the_run_only_rises(total):
    found = rates(Schedule(kind="linear", warmup_steps=10), 1.0, total, range(total))
    assert found == pytest.approx([(t + 1) / 10 for t in range(total)])


def test_it_is_the_same_inside_a_graph():
    found = learning_rate(Schedule(kind="cosine", warmup_steps=3), 0.5, 20)
    in_graph = tf.function(lambda step: found(step))
    for step in (0, 2, 3, 11, 30):
        assert float(in_graph(tf.constant(step, tf.int64))) == pytest.approx(formula("cosine", step, 0.5, 3, 17, 0.01))
