"""When requests are due."""

import math

import numpy as np
import pytest

from serving.loadtest.stage import Stage


def stage(target="unused", **given):
    settings = {"seconds": 10.0, "warmup_seconds": 0.0, "timeout_seconds": 5.0, **given}
    return Stage(target, **settings)


def test_poisson_arrivals_have_the_rate_and_the_gaps_of_a_poisson_process():
    starts = np.array(list(stage(rate=500.0, seconds=40.0).starts()))
    gaps = np.diff(starts)
    assert len(starts) == pytest.approx(20_000, abs=4 * math.sqrt(20_000))
    assert np.mean(gaps > 1 / 500) == pytest.approx(math.exp(-1), abs=0.02)
    assert starts.max() < 40


def test_constant_arrivals_are_evenly_apart():
    starts = np.array(list(stage(rate=50.0, arrivals="constant", seconds=2.0, warmup_seconds=1.0).starts()))
    assert len(starts) in (149, 150, 151)
    assert np.allclose(np.diff(starts), 0.02)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_parts_of_a_stage_are_the_stage(processes):
    rates = [part.rate for part in stage(rate=100.0).parts(processes)]
    assert sum(rates) == pytest.approx(100)
    parts = stage(concurrency=2).parts(processes)
    assert sum(part.concurrency for part in parts) == 2
    assert all(part.concurrency for part in parts)
    assert len({part.seed for part in parts}) == len(parts)
