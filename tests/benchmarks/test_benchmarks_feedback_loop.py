"""The benchmark of the feedback loop: its arithmetic, and a tiny run."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from benchmarks.feedback_loop import interval


def test_intervals_are_those_of_a_t_test():
    values = np.array([0.3, 0.5, 0.45, 0.2])
    found = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    mean, half = interval(values)
    assert (mean - half, mean + half) == pytest.approx((found.low, found.high))


def run(*arguments, expected=0):
    command = [sys.executable, "-m", "benchmarks.feedback_loop", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stderr
    return done


def test_a_tiny_run_prints_every_table():
    arms = "none,softmax + weights,hold-out to train and validate"
    done = run("--arms", arms, "--seeds", "2", "--rounds", "3", "--users", "40")
    lines = done.stdout.splitlines()
    for arm in arms.split(","):
        cells = next(line for line in lines if line.startswith(f"| {arm} |")).split("|")
        assert float(cells[2].split("±")[0]) > 0
    assert any(line.startswith("| minus none, paired |") for line in lines)
    assert [line.split("|")[1].strip() for line in lines if line[2:3].isdigit()] == ["0", "1", "2"]
    assert float(next(line for line in lines if line.startswith("| greedy |")).split("|")[2].replace(",", "")) > 0


@pytest.mark.parametrize(("arguments", "named"), [(("--arms", "nothing"), "nothing"), (("--seeds", "1"), "two seeds")])
def test_what_cannot_be_run_is_named(arguments, named):
    assert named in run(*arguments, expected=2).stderr.splitlines()[-1]
