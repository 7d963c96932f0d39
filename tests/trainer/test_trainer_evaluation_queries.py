"""Query sets against loops over the records: fold-in, windows, cold parts, exclusion, samples, negatives."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.planted_world import read_csv, write_csv
from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import read_part
from tfrec.errors import ConfigError, DataError
from tfrec.metrics.lists import NO_ITEM, RankedLists
from trainer.evaluation.config import EvaluationConfig, Negatives, UserSample
from trainer.evaluation.lists import ranked_chunks
from trainer.evaluation.negatives import DrawnCandidates, GivenCandidates
from trainer.evaluation.negatives_file import read_negatives
from trainer.evaluation.queries import RetrievalQueries, reading_training, retrieval_queries
from trainer.evaluation.query_sets import query_sets

TEMPORAL = "split={strategy: temporal, validation: 0.15, test: 0.2}"


@pytest.fixture(scope="module")
def temporal(world, tmp_path_factory):
    """Divided at two times; some items and users come up in the test period only, some users repeat items."""
    logs = tmp_path_factory.mktemp("logs")
    events = sorted(read_csv(world.logs / "events.csv"), key=lambda row: int(row["timestamp"]))
    for number, row in enumerate(events[-200:]):
        if number % 9 == 0:
            row["item_id"] = f"late{number % 4}"
        if number % 11 == 0:
            row["user_id"] = f"newcomer{number % 5}"
    last = int(events[-1]["timestamp"])
    again = [{**row, "timestamp": str(last - 50 * n)} for n, row in enumerate(events[:300:5])]
    write_csv(logs / "events.csv", events + again)
    for name in ("users.csv", "items.csv"):
        write_csv(logs / name, read_csv(world.logs / name))
    world.dataset("temporal_with_cold", TEMPORAL, logs=logs)
    return world.data("temporal_with_cold")


def events_of(records):
    """(user, position, item, time, row) of every record, by user and position."""
    names = ("user_index", "event_position", "item_index", "event_time_ms")
    return sorted(zip(*(records[name].tolist() for name in names), range(len(records["label"])), strict=True))


def wanted_of(queries):
    """User → items to find."""
    found = {}
    for row, item in zip(queries.relevant_rows.tolist(), queries.relevant_items.tolist(), strict=True):
        found.setdefault(int(queries.users[row]), set()).add(item)
    return found


def items_by_user(*splits):
    found = {}
    for records in splits:
        for user, _, item, *_ in events_of(records):
            found.setdefault(user, set()).add(item)
    return found


@pytest.mark.parametrize("share", [0.8, 0.5, 0.0])
def test_of_a_held_out_user_the_first_share_of_events_is_read_and_the_rest_asked_for(world, share):
    world.dataset("by_users", "split={strategy: users, validation: 0.2, test: 0.2}")
    data = world.data("by_users")
    assert not {*data.train["user_index"].tolist()} & {*data.test["user_index"].tolist()}
    queries = retrieval_queries(data, "test", "at_event", fold_in=share)
    tokens = data.catalogue.features["item_id"]
    by_user = {}
    for user, _, item, *_ in events_of(data.test):
        by_user.setdefault(user, []).append(item)
    expected, histories = {}, {}
    for user, items in by_user.items():
        read = items[: math.floor(share * len(items) + 1e-9)]
        assert set(queries.seen.of_user(user).tolist()) == set(read)
        left = set(items[len(read) :]) - set(read)
        if left:
            expected[user] = left
        histories[user] = read
    assert wanted_of(queries) == expected
    for row, user in enumerate(queries.users.tolist()):
        past = [int(tokens[item]) for item in histories[user]][-20:]
        assert queries.features["history"][row].tolist() == past + [0] * (20 - len(past))


def test_windows_cut_the_test_period_and_know_all_that_lies_before_them(temporal):
    sets = {found.name: found for found in query_sets(temporal, EvaluationConfig(windows=3))}
    times = temporal.test["event_time_ms"]
    edges = np.linspace(times.min(), times.max() + 1, 4).astype(np.int64).tolist()
    earlier = items_by_user(temporal.train, temporal.validation)
    asked = 0
    for number, (start, end) in enumerate(pairwise(edges), start=1):
        queries = sets[f"test_window_{number}"].queries
        seen = {user: set(items) for user, items in earlier.items()}
        expected, first = {}, {}
        for user, _, item, time, _ in events_of(temporal.test):
            if time < start:
                seen.setdefault(user, set()).add(item)
        for user, _, item, time, row in events_of(temporal.test):
            if start <= time < end:
                first.setdefault(user, row)
                if item not in seen.get(user, set()):
                    expected.setdefault(user, set()).add(item)
        assert wanted_of(queries) == expected
        asked += len(expected)
        for row, user in enumerate(queries.users.tolist()):
            assert set(queries.seen.of_user(user).tolist()) == seen.get(user, set())
            assert np.array_equal(queries.features["history"][row], temporal.test["history"][first[user]])
    assert asked > 100
    assert "test_window_4" not in sets


def test_with_nothing_excluded_items_that_were_seen_are_asked_for_too(temporal):
    queries = retrieval_queries(temporal, "test", "at_event", excludes_seen=False)
    assert wanted_of(queries) == items_by_user(temporal.test)
    assert queries.seen.num_events == 0
    assert wanted_of(retrieval_queries(temporal, "test", "at_event")) != wanted_of(queries)


def test_cold_parts_are_the_users_and_the_items_without_training_events(temporal):
    found = next(one for one in query_sets(temporal, EvaluationConfig()) if one.name == "test")
    known_users = {*temporal.train["user_index"].tolist()}
    known_items = {*temporal.train["item_index"].tolist()}
    lists = some_lists(found.queries, seed=3)
    wanted = wanted_of(found.queries)
    cold_users = {user: items for user, items in wanted.items() if user not in known_users}
    cold_items = {user: items - known_items for user, items in wanted.items() if items - known_items}
    assert cold_users
    assert cold_items
    for name, expected in (("test_cold_users", cold_users), ("test_cold_items", cold_items)):
        part = found.parts[name][1](lists)
        assert part.users.tolist() == sorted(expected)
        for row, user in enumerate(part.users.tolist()):
            span = slice(*part.relevant_splits[row : row + 2])
            assert set(part.relevant_items[span].tolist()) == expected[user]
            assert np.array_equal(part.items[row], lists.items[lists.users.tolist().index(user)])


def test_there_are_no_cold_parts_where_nobody_is_cold(world):
    found = next(one for one in query_sets(world.data(), EvaluationConfig()) if one.name == "test")
    assert found.parts == {}


def some_lists(queries, seed):
    rng = np.random.default_rng(seed)
    items = np.argsort(rng.random((len(queries.users), queries.seen.num_items)), axis=1)[:, :20]
    scores = -np.sort(rng.random(items.shape).astype(np.float32), axis=1)
    return RankedLists(queries.users, items, scores, queries.relevant_splits, queries.ordered_items)


def test_a_sample_of_users_is_the_same_in_sets_of_the_same_users_and_another_with_another_seed(world):
    def users(seed, count=40):
        config = EvaluationConfig(users=UserSample(count=count, seed=seed))
        return {found.name: found.queries.users.tolist() for found in query_sets(world.data(), config)}

    one = users(1)
    assert {len(chosen) for chosen in one.values()} == {40}
    assert one["test"] == one["test_training_history"] == sorted(one["test"])
    assert users(1) == one
    assert users(2) != one
    assert len(users(1, count=5000)["test"]) == 300


def test_the_queries_of_a_sample_are_those_of_the_whole(world):
    whole = retrieval_queries(world.data(), "test", "at_event")
    rows = np.array([3, 17, 200])
    part = whole.of(rows)
    assert part.users.tolist() == whole.users[rows].tolist()
    assert wanted_of(part) == {user: wanted_of(whole)[user] for user in part.users.tolist()}
    assert np.array_equal(part.features["history"], whole.features["history"][rows])


# --- Sampled negatives ----------------------------------------------------------------------------------------------


def case(seed, users=12, items=30):
    """Queries, all that each user took, and scores with many ties."""
    rng = np.random.default_rng(seed)
    taken = [sorted(rng.choice(items, rng.integers(1, items - 8), replace=False).tolist()) for _ in range(users)]
    relevant = [took[-min(len(took), 3) :] for took in taken]
    events = np.array([(u, i, p) for u, row in enumerate(taken) for p, i in enumerate(row)])
    columns = dict(zip(("user_index", "item_index", "event_position"), events.T, strict=True))
    everything = Interactions.from_records(columns, users, items)
    pairs = [(row, item) for row, wanted in enumerate(relevant) for item in wanted]
    rows, targets = (np.array(column) for column in zip(*pairs, strict=True))
    nothing = Interactions(np.zeros(users + 1, np.int64), np.zeros(0, np.int64), items)
    queries = RetrievalQueries({"row": np.arange(users)}, np.arange(users), nothing, rows, targets)
    return queries, everything, relevant, rng.integers(0, 4, (users, items)).astype(np.float32)


@pytest.mark.parametrize("kind", ["uniform", "popularity"])
def test_drawn_negatives_are_distinct_items_that_the_user_never_took_whatever_the_batch(kind):
    queries, taken, relevant, _ = case(1)
    counts = np.arange(1, 31)
    candidates = DrawnCandidates(Negatives(count=6, kind=kind), taken, counts)
    whole = candidates.of(queries, 0, 12)
    for row, items in enumerate(whole.tolist()):
        listed = [item for item in items if item != NO_ITEM]
        assert len(set(listed)) == len(listed) == 6 + len(relevant[row])
        others = set(listed) - set(relevant[row])
        assert not others & set(taken.of_user(row).tolist())
    for start in range(12):
        alone = candidates.of(queries, start, start + 1)[0]
        assert [i for i in alone.tolist() if i >= 0] == [i for i in whole[start].tolist() if i >= 0]
    other = DrawnCandidates(Negatives(count=6, kind=kind, seed=2), taken, counts)
    assert not np.array_equal(other.of(queries, 0, 12), whole)


def test_a_user_who_took_nearly_all_has_fewer_negatives():
    queries, taken, relevant, _ = case(1)
    candidates = DrawnCandidates(Negatives(count=500), taken, np.ones(30))
    for row, items in enumerate(candidates.of(queries, 0, 12).tolist()):
        left = set(range(30)) - set(taken.of_user(row).tolist())
        assert sorted(i for i in items if i >= 0) == sorted(left | set(relevant[row]))


@pytest.mark.parametrize(("kind", "weights"), [("uniform", np.ones(8)), ("popularity", np.arange(8))])
def test_negatives_are_drawn_in_the_stated_proportion(kind, weights):
    users = 20_000
    nothing = Interactions(np.zeros(users + 1, np.int64), np.zeros(0, np.int64), 8)
    none = np.zeros(0, np.int64)
    queries = RetrievalQueries({}, np.arange(users), nothing, none, none)
    drawn = DrawnCandidates(Negatives(count=1, kind=kind), nothing, np.arange(8)).of(queries, 0, users)
    share = np.bincount(drawn.ravel(), minlength=8) / users
    assert share == pytest.approx(weights / weights.sum(), abs=0.015)  # four standard errors


@pytest.mark.parametrize("ties", ["lower_index", "relevant_first"])
def test_a_sampled_list_is_the_plain_sort_of_the_candidates(ties):
    queries, _, relevant, scores = case(4)
    rng = np.random.default_rng(0)
    given = np.stack([rng.choice(30, 9, replace=False) for _ in range(12)])
    given[3, 5:] = NO_ITEM
    given[5, 0] = relevant[5][0]  # a positive among its own negatives is ranked once
    model = SimpleNamespace(required_features=["row"])
    [(lists, _)] = ranked_chunks(
        model,
        queries,
        lambda batch: tf.gather(tf.constant(scores), batch["row"]),
        length=7,
        batch_size=5,
        candidates=GivenCandidates(given, ties),
    )
    for row in range(12):
        wanted = set(relevant[row])
        candidates = wanted | {int(item) for item in given[row] if item >= 0}

        def key(item, row=row, wanted=wanted):
            return (-scores[row, item], item not in wanted if ties == "relevant_first" else False, item)

        expected = sorted(candidates, key=key)[:7]
        assert [item for item in lists.items[row].tolist() if item != NO_ITEM] == expected


USERS, ITEMS = (np.array(ids, object) for ids in ([b"u1", b"u2", b"u3"], [b"a", b"b", b"c", b"d"]))


@pytest.mark.parametrize("lines", ["u1\ta\tc\nu3\tb\tzz\nnobody\ta\n", "(u1,d)\ta\tc\n(u3,a)\tb\tzz\n(nobody,a)\ta\n"])
def test_given_negatives_are_read_in_both_formats_and_what_is_unknown_is_counted_and_named(tmp_path, lines):
    path = tmp_path / "negatives.tsv"
    path.write_text(lines)
    given = read_negatives(str(path), USERS, ITEMS)
    assert [[i for i in row if i != NO_ITEM] for row in given.items.tolist()] == [[0, 2], [], [1]]
    assert given.has_line.tolist() == [True, False, True]
    assert given.faults == ("1 users of 3 are not in the dataset (nobody); 1 items of 5 are not in the dataset (zz)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; a line is"),
        ("u1\ta\nu1\tb\n", "user 'u1' stands twice"),
        ("x\ta\n", "no user of it (such as 'x') is in the dataset"),
        ("u1\tx\n", "no item of it (such as 'x') is in the dataset"),
        ("u1\n", "no item of it is in the dataset"),
    ],
)
def test_a_file_of_negatives_that_cannot_be_used_is_refused(tmp_path, content, message):
    path = tmp_path / "negatives.tsv"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_negatives(str(path), USERS, ITEMS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_negatives_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file.*--set evaluation.negatives.file=PATH"):
        read_negatives(str(tmp_path / "none"), USERS, ITEMS)


def test_users_without_given_negatives_are_left_out_and_counted(world, tmp_path):
    data = world.data()
    ids = [token.decode() for token in read_part(data.dataset, "users")["raw/user_id"]]
    items = [token.decode() for token in data.catalogue.ids[:9]]
    path = tmp_path / "negatives.tsv"
    path.write_text("".join("\t".join([user, *items]) + "\n" for user in ids[:100]))
    config = EvaluationConfig(negatives={"file": str(path)})
    found = next(one for one in query_sets(data, config) if one.name == "test_sampled")
    asked = next(one for one in query_sets(data, config) if one.name == "test").queries.users
    assert found.queries.users.tolist() == [user for user in asked.tolist() if user < 100]
    assert f"{(asked >= 100).sum()} users have no line and are left out" in found.meaning
    assert found.meaning.startswith("NOT the full catalogue")


def test_a_history_of_training_events_alone_brings_what_stands_beside_each_of_them(world):
    beside = {"times": "event_time_ms", "gaps": "gap_seconds"}
    sequences = [f"features.{n}={{role: user, kind: sequence, length: 20, of: {of}}}" for n, of in beside.items()]
    world.dataset("beside_history", *sequences)
    data = world.data("beside_history")
    train, ids = data.train, data.catalogue.features["item_id"]
    queries = reading_training(data, retrieval_queries(data, "test", "at_event"))
    assert len(queries.users) > 200
    for row, user in enumerate(queries.users):
        mine = sorted(np.flatnonzero(train["user_index"] == user), key=lambda place: train["event_position"][place])
        times = [int(train["event_time_ms"][place]) for place in mine]
        gaps = [0.0, *((b - a) / 1000 for a, b in pairwise(times))]
        expected = {"history": [ids[train["item_index"][place]] for place in mine], "times": times, "gaps": gaps}
        for name, values in expected.items():
            found = queries.features[name][row]
            np.testing.assert_allclose(found, values[-20:] + [0] * (20 - len(values)), rtol=1e-6 * (name == "gaps"))
