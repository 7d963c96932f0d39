"""The benchmark of the feedback loop: its arithmetic, and a tiny run."""

import sys

import numpy as np
import pytest
from scipy import stats

from benchmarks import feedback_loop
from benchmarks.feedback_loop import interval


def test_intervals_are_those_of_a_t_test():
    values = np.array([0.3, 0.5, 0.45, 0.2])
    found = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    mean, half = interval(values)
    assert (mean - half, mean + half) == pytest.approx((found.low, found.high))


@pytest.fixture
def lines_of(monkeypatch, capsys):
    """What the command prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["feedback_loop", *arguments])
        feedback_loop.main()
        return capsys.readouterr().out.splitlines()

    return run


def test_a_tiny_run_prints_every_table(lines_of):
    arms = "none,softmax + weights,hold-out to train and validate"
    lines = lines_of("--arms", arms, "--seeds", "2", "--rounds", "3", "--users", "40")
    for arm in arms.split(","):
        cells = next(line for line in lines if line.startswith(f"| {arm} |")).split("|")
        assert float(cells[2].split("±")[0]) > 0
    assert any(line.startswith("| minus none, paired |") for line in lines)
    assert [line.split("|")[1].strip() for line in lines if line[2:3].isdigit()] == ["0", "1", "2"]
    assert float(next(line for line in lines if line.startswith("| greedy |")).split("|")[2].replace(",", "")) > 0


@pytest.mark.parametrize(("arguments", "named"), [(("--arms", "nothing"), "nothing"), (("--seeds", "1"), "two seeds")])
def test_what_cannot_be_run_is_named(lines_of, capsys, arguments, named):
    with pytest.raises(SystemExit, match="2"):
        lines_of(*arguments)
    assert named in capsys.readouterr().err.splitlines()[-1]
