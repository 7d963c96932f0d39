"""The benchmark of evaluation runs at a tiny size, and its comparisons are right."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import evaluation_speed
from benchmarks.evaluation.ours import Clock, evaluate
from benchmarks.evaluation.world import KS, World
from benchmarks.evaluation_speed import agreement, rows
from tfrec.dataset.interactions import Interactions


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks.evaluation_speed", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_our_side_prints_a_rate_for_each_of_its_parts(tmp_path):
    flags = ("--work-dir", tmp_path, "--peers", "", "--users", 50, "--items", 200, "--repeat", 2)
    done = run(*flags)
    assert done.returncode == 0, done.stderr
    table = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ours")]
    assert len(table) == 5
    for line in table:
        assert float(line[2].split("(")[0].replace(",", "")) > 0
    whole, without_auc, accuracy, lists = (float(line[3].split("(")[0]) for line in table[:4])
    assert whole > without_auc > accuracy > lists > 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--peers", "rank"), "--peers: rank; choose of ranx, recbole"),
        (("--items", 100, "--peers", ""), "--items: at least 200"),
    ],
)
def test_a_wrong_flag_is_named(tmp_path, monkeypatch, capsys, flags, said):
    monkeypatch.setattr(sys, "argv", ["evaluation_speed", "--work-dir", str(tmp_path), *map(str, flags)])
    with pytest.raises(SystemExit, match="2"):
        evaluation_speed.main()
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_the_evaluation_that_is_timed_computes_every_family_of_metrics():
    world = World.draw(40, 200, seed=3)
    seen = Interactions(world.seen_splits, world.seen_items, 200)
    found = evaluate(world, seen, Clock())
    names = ("recall", "precision", "hit_rate", "ndcg", "map", "map_n", "mrr", "coverage", "gini", "popularity_lift",
             "novelty", "popularity", "diversity", "serendipity")  # fmt: skip
    assert set(found) == {f"{name}_at_{k}" for name, k in itertools.product(names, KS)} | {"auc", "profile_popularity"}
    assert all(np.isfinite(value) for value in found.values())
    assert found["auc"] > 0.6  # the scores know a little


def test_a_world_has_something_to_find_for_every_user_that_the_user_does_not_have():
    world = World.draw(30, 200, seed=1)
    assert (np.diff(world.relevant_splits) >= 1).all()
    for user in range(30):
        seen = world.seen_items[world.seen_splits[user] : world.seen_splits[user + 1]]
        wanted = world.relevant_items[world.relevant_splits[user] : world.relevant_splits[user + 1]]
        assert not set(seen) & set(wanted)
        assert wanted.tolist() == sorted(set(wanted))


def test_sides_that_disagree_stop_the_benchmark():
    assert "2 metrics agree; furthest apart is b, by 1.0e-07" in agreement(
        "x", {"a": 1, "b": 2}, {"a": 1, "b": 2 + 1e-7}
    )
    for other in (2.1, float("nan")):
        with pytest.raises(SystemExit, match="b is 2 of ours"):
            agreement("x", {"a": 1, "b": 2}, {"a": 1, "b": other})


def test_rates_are_of_the_parts_together():
    sides = {"ours": {"seconds": [{"facts": 0.1, "top": 0.2, "auc": 0.3, "rest": 0.4, "accuracy alone": 0.5}]}}
    found = [row[2:] for row in rows(sides, 100)]
    assert found[:2] == [("100", "10,000.0"), ("143", "7,000.0")]
    assert found[2:] == [("143", "7,000.0"), ("500", "2,000.0"), ("200", "5,000.0")]
