"""What is shown and with which probability; the log of it; the join with what came of it."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.client import ScoredItems
from serving.impressions import Exploration, ImpressionLog, Shown
from serving.impressions import __main__ as command
from serving.impressions.files import finished_files
from serving.impressions.join import SCHEMA
from tfrec.errors import ConfigError, DataError

ITEMS = ScoredItems("u", ("a", "b", "c", "d"), (1.0, 0.5, 0.2, -1.0), "m", 3)
MINUTE = 60_000


def softmax_of_order(scores, temperature):
    """Each place's probability given the items above it, one after another."""
    odds = [float(np.exp(score / temperature)) for score in scores]
    return [odds[place] / sum(odds[place:]) for place in range(len(odds))]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=6), st.floats(0.2, 5), st.integers(1, 8), st.integers(0, 99))
def test_the_propensity_of_a_place_is_the_softmax_among_the_items_left(scores, temperature, k, seed):
    ids = tuple(f"i{i}" for i in range(len(scores)))
    items = ScoredItems("u", ids, tuple(scores), "m", 1)
    exploration = Exploration(kind="softmax", temperature=temperature)
    shown = exploration.draw(items, k, np.random.default_rng(seed))
    assert len(shown.items) == min(k, len(ids))
    assert dict(shown.items).items() <= dict(items).items()
    rest = [score for item, score in items if item not in shown.items.ids]
    expected = softmax_of_order([*shown.items.scores, *rest], temperature)
    assert shown.propensities == pytest.approx(expected[: len(shown.items)])
    assert shown.num_candidates == len(ids)


@pytest.mark.parametrize("exploration", [Exploration(temperature=0.7), Exploration(kind="epsilon_greedy", epsilon=0.3)])
def test_lists_are_drawn_as_often_as_their_propensities_say(exploration):
    generator, draws = np.random.default_rng(1), 20_000
    seen, chance = Counter(), {}
    for _ in range(draws):
        shown = exploration.draw(ITEMS, 2, generator)
        seen[shown.items.ids] += 1
        chance[shown.items.ids] = float(np.prod(shown.propensities))
    assert set(chance) == set(itertools.permutations(ITEMS.ids, 2))
    assert sum(chance.values()) == pytest.approx(1)
    for ids, probability in chance.items():
        error = np.sqrt(probability * (1 - probability) / draws)
        assert abs(seen[ids] / draws - probability) < 5 * error


def test_without_exploration_the_best_are_shown_for_certain():
    shown = Exploration(kind="none").draw(ITEMS, 3, np.random.default_rng(0))
    assert (shown.items.ids, shown.propensities) == (("a", "b", "c"), (1, 1, 1))
    nothing = ScoredItems("u", (), (), "m", 3)
    for kind in ("softmax", "epsilon_greedy", "none"):
        assert Exploration(kind=kind).draw(nothing, 3, np.random.default_rng(0)).propensities == ()
    with pytest.raises(ConfigError, match="k: got 0"):
        Exploration().draw(ITEMS, 0, np.random.default_rng(0))


def shown_of(*ids, user="u", candidates=None):
    items = ScoredItems(user, ids, tuple(float(-i) for i in range(len(ids))), "m", 3, candidates)
    return Shown(items, tuple(1 / (i + 2) for i in range(len(ids))), 9)


def rows_of(directory, kind):
    return [json.loads(line) for path in finished_files(directory, kind) for line in path.read_text().splitlines()]


def test_every_place_is_a_row_with_version_position_and_propensity(tmp_path):
    candidates = ScoredItems("u", ("b", "a"), (2.0, 1.0), "first", 8)
    with ImpressionLog(tmp_path / "log") as log:
        assert log.shown(shown_of("a", "b", candidates=candidates), "r1", time_ms=5) == "r1"
        log.outcome("r1", "b", 2.5, time_ms=6)
    of_request = {"request_id": "r1", "time_ms": 5, "user_id": "u", "model": "m", "version": 3}
    of_request |= {"retrieval_model": "first", "retrieval_version": 8, "num_candidates": 9, "sampling_share": 1.0}
    assert rows_of(tmp_path / "log", "impressions") == [
        {**of_request, "item_id": "a", "position": 1, "score": 0.0, "propensity": 1 / 2},
        {**of_request, "item_id": "b", "position": 2, "score": -1.0, "propensity": 1 / 3},
    ]
    assert rows_of(tmp_path / "log", "outcomes") == [{"request_id": "r1", "item_id": "b", "value": 2.5, "time_ms": 6}]
    assert log.counts.written == 2


def test_a_sample_has_whole_requests_with_their_outcomes(tmp_path):
    with ImpressionLog(tmp_path, share=0.3) as log:
        for i in range(1000):
            log.outcome(log.shown(shown_of("a", "b"), f"r{i}"), "a")
    shown = Counter(row["request_id"] for row in rows_of(tmp_path, "impressions"))
    assert set(shown.values()) == {2}
    assert set(shown) == {row["request_id"] for row in rows_of(tmp_path, "outcomes")}
    assert 230 < len(shown) < 370
    assert log.counts.not_sampled == 1000 - len(shown)
    assert {row["sampling_share"] for row in rows_of(tmp_path, "impressions")} == {0.3}


def test_a_full_queue_drops_and_counts_and_holds_nobody_up(tmp_path):
    with ImpressionLog(tmp_path, max_waiting=5) as log:
        with log._lock:  # the writer stands still at its first entries
            threads = [threading.Thread(target=log._put, args=("impressions", [{"n": i}])) for i in range(50)]
            log._waiting.put(("impressions", []))
            while not log._waiting.empty():
                pass
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join(10)
    assert log.counts.dropped > 0
    assert log.counts.written + log.counts.dropped == 51


def test_a_disk_that_refuses_is_counted(tmp_path):
    with ImpressionLog(tmp_path / "log") as log:
        (tmp_path / "log").rmdir()
        log.shown(shown_of("a"))
    assert (log.counts.written, log.counts.dropped) == (0, 1)


def test_lines_of_a_process_that_was_killed_are_kept_without_the_torn_one(tmp_path):
    code = f"""
import os, time
from serving.client import ScoredItems
from serving.impressions import ImpressionLog, Shown
log = ImpressionLog({str(tmp_path)!r})
log.shown(Shown(ScoredItems("u", ("a",), (1.0,), "m", 1), (1.0,), 1), "r")
while not log.counts.written:
    time.sleep(0.01)
log._files["impressions"]._file.write('{{"torn": ')
log._files["impressions"]._file.flush()
print("ready", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    ImpressionLog(tmp_path).close()
    assert finished_files(tmp_path, "impressions") == []  # its writer lives
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    ImpressionLog(tmp_path).close()
    assert [row["request_id"] for row in rows_of(tmp_path, "impressions")] == ["r"]
    assert not list(tmp_path.glob("*.part"))


def test_files_get_their_name_when_they_are_old(tmp_path, eventually):
    with ImpressionLog(tmp_path, file_seconds=0.1) as log:
        log.shown(shown_of("a"), "r1")
        eventually(lambda: len(finished_files(tmp_path, "impressions")) == 1)
        log.shown(shown_of("a"), "r2")
        eventually(lambda: len(finished_files(tmp_path, "impressions")) == 2)
    assert [row["request_id"] for row in rows_of(tmp_path, "impressions")] == ["r1", "r2"]


@pytest.fixture
def log_of_an_hour(tmp_path):
    """Five requests, one every ten minutes; outcomes in time, late, twice, and of something never shown."""
    directory = tmp_path / "log"
    with ImpressionLog(directory) as log:
        for i in range(5):
            log.shown(shown_of("a", "b", user=f"u{i}"), f"r{i}", time_ms=i * 10 * MINUTE)
        log.outcome("r0", "b", 1.0, time_ms=30 * MINUTE)
        log.outcome("r1", "a", 1.0, time_ms=40 * MINUTE + 1)  # one ms late
        log.outcome("r2", "a", 1.0, time_ms=21 * MINUTE)
        log.outcome("r2", "a", 3.0, time_ms=22 * MINUTE)
        log.outcome("r9", "a", 1.0, time_ms=0)
    with finished_files(directory, "impressions")[0].open("a") as file:
        file.write('{"torn": \n')
    return directory


def test_the_join_gives_each_shown_item_what_came_of_it_in_time(log_of_an_hour, tmp_path, capsys):
    output = tmp_path / "impressions-1.parquet"
    flags = ["--log", str(log_of_an_hour), "--output", str(output), "--until-ms", str(60 * MINUTE - 1), "--json"]
    command.main(flags)
    printed = json.loads(capsys.readouterr().out)
    table = pq.read_table(output)
    names = ("user_id", "item_id", "position", "reward", "outcome")
    found = list(zip(*(table.column(name).to_pylist() for name in names), strict=True))
    assert found == [
        ("u0", "a", 1, 0.0, "ignored"),
        ("u0", "b", 2, 1.0, "taken"),
        ("u1", "a", 1, 0.0, "ignored"),
        ("u1", "b", 2, 0.0, "ignored"),
        ("u2", "a", 1, 3.0, "taken"),
        ("u2", "b", 2, 0.0, "ignored"),
    ]
    assert printed["counts"] == {
        "impressions": 10,
        "joined": 6,
        "taken": 2,
        "still_open": 4,
        "outcomes": 5,
        "outcomes_without_impression": 1,
        "late_outcomes": 1,
        "broken_lines": 1,
    }
    assert printed["versions"] == [
        {"model": "m", "version": 3, "impressions": 6, "items": 2, "top_share": 0.5, "certain_share": 0.0}
        | {"reward_rate": pytest.approx(4 / 6)}
    ]


def test_the_context_of_a_request_is_in_its_rows(tmp_path, capsys):
    with ImpressionLog(tmp_path / "log") as log:
        context = {"device": "tv", "hour": np.int64(7), "is_home": True, "tags": ["x", "y"], "n": 1.5}
        log.shown(shown_of("a", "b"), "r1", 0, context)
        log.shown(shown_of("c"), "r2", 0)
    flags = ["--log", str(tmp_path / "log"), "--output", str(tmp_path / "joined.parquet")]
    names = ("device", "hour", "is_home", "tags", "n")
    command.main([*flags, *(flag for name in names for flag in ("--context", name))])
    table = pq.read_table(tmp_path / "joined.parquet")
    assert table.schema.names == [*SCHEMA.names, *names]
    of_r1 = ("tv", "7", "true", "x|y", "1.5")
    assert list(zip(*(table.column(name).to_pylist() for name in names), strict=True)) == [of_r1, of_r1, (None,) * 5]
    command.main(flags)
    assert pq.read_table(tmp_path / "joined.parquet").schema.names == SCHEMA.names
    with pytest.raises(ConfigError, match="--context: 'score' is a column of every row"):
        command.main([*flags, "--context", "score"])


def test_the_command_prints_what_each_version_showed(log_of_an_hour, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    command.main(["--log", str(log_of_an_hour), "--output", str(tmp_path / "j.parquet"), "--window-minutes", "5"])
    out, err = capsys.readouterr()
    assert out == ""
    assert "impressions 10, joined 10, taken 1" in err
    assert "top tenth's share" in err
    monkeypatch.setenv("COLUMNS", "80")
    command.main(["--log", str(log_of_an_hour), "--output", str(tmp_path / "j.parquet")])
    assert "…" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        (["--output", "x.csv"], ConfigError, r"--output: got 'x\.csv'; expected a name that ends in \.parquet"),
        (["--output", "x.parquet"], DataError, r"no finished impressions-\*\.jsonl"),
        (
            ["--output", "x.parquet", "--window-minutes", "0"],
            ConfigError,
            "--window-minutes: got '0'; allowed: above 0",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path, flags, error, message):
    with pytest.raises(error, match=message):
        command.main(["--log", str(tmp_path), *flags])


def test_odd_values_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="share: got 0; allowed: above 0, up to 1"):
        ImpressionLog(tmp_path, share=0)
    with ImpressionLog(tmp_path) as log, pytest.raises(ConfigError, match="value: got nan"):
        log.outcome("r", "a", float("nan"))


def test_ids_and_values_of_a_table_are_written_and_what_cannot_be_is_counted(tmp_path):
    with ImpressionLog(tmp_path) as log:
        log.outcome("r", 42.0, np.float32(0.5), time_ms=1)
        log.outcome("r", "b", 1.0, time_ms=object())
    assert rows_of(tmp_path, "outcomes") == [{"request_id": "r", "item_id": "42", "value": 0.5, "time_ms": 1}]
    assert (log.counts.written, log.counts.dropped) == (1, 1)
