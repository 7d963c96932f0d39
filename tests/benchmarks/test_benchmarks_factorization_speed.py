"""The benchmark of matrix factorisation runs at a tiny size."""

import subprocess
import sys

import numpy as np
import pytest

from benchmarks import factorization_speed
from benchmarks.factorization_speed import events


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks.factorization_speed", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    path = tmp_path_factory.mktemp("ratings") / "ratings.dat"
    random = np.random.default_rng(0)
    rows = [f"{random.integers(1, 40)}::{random.integers(5, 60)}::{random.integers(1, 6)}::0" for _ in range(900)]
    path.write_text("\n".join(rows) + "\n", encoding="latin-1")
    return path


def test_every_loss_has_a_rate_for_each_batch_size(ratings):
    done = run("--ratings", ratings, "--losses", "squared,bpr", "--batch-sizes", 300, "--repeat", 1, "--epochs", 1)
    assert done.returncode == 0, done.stderr
    table = [line.split("|")[1:-1] for line in done.stdout.splitlines()[4:] if line.startswith("|")]
    assert [(line[0].strip(), line[1].strip()) for line in table] == [("squared", "300"), ("bpr", "300")]
    assert all(float(cell.split("(")[0]) >= 0 for line in table for cell in line[2:])


def test_a_wrong_loss_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["factorization_speed", "--losses", "warp"])
    with pytest.raises(SystemExit, match="2"):
        factorization_speed.main()
    assert "--losses: warp; choose of squared, bpr" in capsys.readouterr().err


def test_ratings_are_read_by_index(ratings):
    users, items, labels = events(ratings, 1)
    assert len(users) == len(items) == len(labels) == 900
    assert sorted(set(users)) == list(range(len(set(users))))
    assert sorted(set(items)) == list(range(len(set(items))))
    first = ratings.read_text().splitlines()[0].split("::")
    assert labels[0] == float(first[2])


def test_the_generated_log_has_the_size_of_movielens_1m():
    users, items, labels = events(None, 1)
    assert len(users) == 1_000_209
    assert (users.max(), items.max()) == (6039, 3705)
    assert set(np.unique(labels)) == {1, 2, 3, 4, 5}
