"""The leaderboard as a command: at a tiny size without other libraries, and when a library cannot be had."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from benchmarks import leaderboard
from benchmarks.quality.arena import DATASETS, Arena
from benchmarks.quality.cells import Cell
from benchmarks.quality.contest import SIZES, Size, compete, tuned
from benchmarks.quality.entrants import our_models, peers
from benchmarks.quality.tables import tables
from tfrec.models.registry import model_class


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    """Without a folder of logs: for those that are generated."""
    return Arena(None, tmp_path_factory.mktemp("leaderboard"))


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.leaderboard", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    return done


def rows_of(text, title):
    """First cell → the others, of the table below a title."""
    block = text.split(f"**{title}", 1)[1].split("\n**", 1)[0]
    lines = [line for line in block.splitlines() if line.startswith("| ")][1:]
    return {line.split(" | ")[0][2:]: [cell.strip(" |") for cell in line.split(" | ")[1:]] for line in lines}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--models", "two_towers"), "two_towers"),
        (("--peers", "surprise_svd"), "surprise_svd"),
        (("--datasets", "netflix"), "netflix"),
        (("--datasets", "ml-1m"), "ml-1m.txt is absent"),
    ],
)
def test_the_caller_s_mistake_is_named_before_anything_runs(tmp_path, monkeypatch, capsys, arguments, named):
    given = ["--work-dir", str(tmp_path / "work"), "--data-dir", str(tmp_path), *arguments]
    monkeypatch.setattr(sys, "argv", ["leaderboard", *given])
    with pytest.raises(SystemExit, match="2"):
        leaderboard.main()
    assert named in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "work").exists()


def test_a_library_that_cannot_be_installed_is_named_in_the_table(tmp_path):
    (tmp_path / "venvs").write_text("no directory can be made here")
    peer = next(one for one in peers() if one.task == "retrieval")
    outcome = compete(DATASETS["generated"], [peer], Arena(None, tmp_path), Size(("generated",), 1, 0))
    text = tables(outcome)
    assert rows_of(text, "a generated log: not measured")[peer.title][0].startswith(f"environment {peer.environment}: ")


def test_a_model_that_took_its_minutes_tries_no_further_setting(arena):
    data = DATASETS["generated"]
    ease = next(one for one in our_models() if one.name == "ease")
    [entry] = compete(data, [ease], arena, Size(("generated",), 1, trials=5, minutes=0.01)).entries
    assert entry.tried == 1  # its first trial takes longer than that
    assert entry.settings == {}


def test_a_cell_is_another_one_with_other_settings_or_another_seed(arena):
    data = DATASETS["generated"]
    popularity = next(one for one in our_models() if one.name == "popularity")
    cells = [Cell(popularity, data, {}, 1), Cell(popularity, data, {}, 2), Cell(popularity, data, {"model.k": 1}, 1)]
    places = [cell.place(arena) for cell in cells]
    assert len(set(places)) == 3
    assert places == [cell.place(arena) for cell in cells]


@pytest.mark.parametrize("size", SIZES)
def test_settings_of_an_earlier_search_are_of_the_model_s_own_names(size):
    for name in SIZES[size].datasets:
        for entrant in (*our_models(), *peers()):
            if entrant.task == DATASETS[name].task:
                own = {*entrant.space, *entrant.defaults}
                if entrant.is_ours:  # a search may have looked further than the model's space does now
                    own |= {f"model.{key}" for key in model_class(entrant.name).Config.model_fields}
                assert set(tuned(DATASETS[name], entrant)) <= own


@pytest.mark.slow
def test_the_tiny_size_runs_end_to_end_and_a_second_time_from_its_cells(arena):
    what = ("--work-dir", arena.work, "--datasets", "generated,generated-clicks", "--peers", "",
            "--models", "popularity,item_knn,deepfm", "--trials", 2, "--seeds", 2)  # fmt: skip
    first = run(*what)
    retrieval = rows_of(first.stdout, "a generated log: retrieval")
    assert set(retrieval) == {"popularity", "item_knn"}
    for cells in retrieval.values():
        mean, low, high = map(float, re.findall(r"\d\.\d{4}", cells[0]))
        assert 0 <= low <= mean <= high <= 1
        assert mean <= float(cells[1])  # NDCG@10 of one item is at most its hit rate
    ranking = rows_of(first.stdout, "clicks of a generated log: ranking")
    assert 0.5 < float(ranking["deepfm"][0].split()[0]) < 1
    assert len(ranking["deepfm"][4].split()) == 2  # AUC of each seed
    for title in ("a generated log: validation", "clicks of a generated log: validation"):
        own = rows_of(first.stdout, title)
        assert own
        assert all(abs(float(cells[-1])) < 5e-4 for cells in own.values())  # the trainer and the judge agree
    chosen = yaml.safe_load((arena.work / "tuned.yaml").read_text())
    assert set(chosen) == {"generated", "generated-clicks"}

    again = run(*what)
    assert " · seed " in first.stderr
    assert " · seed " not in again.stderr
    assert again.stdout == first.stdout
