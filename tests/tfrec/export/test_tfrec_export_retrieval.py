"""`recommend` of an exported model: k, filters, histories and embeddings per request."""

import random
from collections import defaultdict

import numpy as np
import pytest
import tensorflow as tf

ITEMS = 121
USERS = [f"u{n:05d}" for n in range(0, 300, 37)]


@pytest.fixture(scope="module")
def seen(log):
    found = defaultdict(set)
    for event in log.events:
        found[event.user_id].add(event.item_id)
    return found


def lists(answer):
    """Ids and scores per row, up to the end of each list; what follows must be padding."""
    result = []
    for ids, scores in zip(answer["ids"], answer["scores"], strict=True):
        size = sum(item_id != b"" for item_id in ids)
        assert (ids[size:] == b"").all()
        assert np.isneginf(scores[size:]).all()
        assert np.isfinite(scores[:size]).all()
        assert (np.diff(scores[:size]) <= 0).all()
        names = [item_id.decode() for item_id in ids[:size]]
        assert len(set(names)) == size
        result.append((names, scores[:size].tolist()))
    return result


def names_of(answer):
    return [names for names, _ in lists(answer)]


@pytest.fixture(scope="module")
def full(retrieval):
    """Each user's whole catalogue with scores, nothing excluded: what filters start from."""
    answer = retrieval.ask("recommend", user_id=USERS, k=[ITEMS], exclude_seen=[False])
    return [list(zip(names, scores, strict=True)) for names, scores in lists(answer)]


def test_without_filters_all_items_are_listed(full, log):
    assert all({name for name, _ in row} == set(log.items) for row in full)


def test_every_row_has_its_own_k(retrieval, full):
    ks = [1, 5, 0, 3, 121, 2, 10, 7, 4]
    answer = retrieval.ask("recommend", user_id=USERS, k=ks, exclude_seen=[False])
    assert answer["ids"].shape == (len(USERS), 121)
    assert names_of(answer) == [[name for name, _ in row[:k]] for row, k in zip(full, ks, strict=True)]


def test_k_of_zero_gives_an_empty_list(retrieval):
    answer = retrieval.ask("recommend", user_id=USERS[:2], k=[0])
    assert answer["ids"].shape == answer["scores"].shape == (2, 0)


@pytest.mark.parametrize("k", [122, 1000, 2**31 - 1])
def test_k_above_the_catalogue_gives_all_items(retrieval, k):
    answer = retrieval.ask("recommend", user_id=USERS[:2], k=[k], exclude_seen=[False])
    assert answer["ids"].shape == (2, ITEMS)
    assert [len(names) for names in names_of(answer)] == [ITEMS, ITEMS]


def test_a_negative_k_is_an_invalid_argument_with_a_reason(retrieval):
    with pytest.raises(tf.errors.InvalidArgumentError, match="k must be at least 0, got"):
        retrieval.ask("recommend", user_id=USERS[:2], k=[3, -1])


def test_excluded_items_are_left_out_and_the_next_best_move_up(retrieval, full):
    exclude = [["", row[0][0], row[2][0], "no such item"] for row in full]
    answer = retrieval.ask("recommend", user_id=USERS, k=[4], exclude_ids=exclude, exclude_seen=[False])
    assert names_of(answer) == [[row[1][0], row[3][0], row[4][0], row[5][0]] for row in full]


def test_one_exclusion_list_serves_all_rows(retrieval, full):
    best = full[0][0][0]
    answer = retrieval.ask("recommend", user_id=USERS, k=[ITEMS], exclude_ids=[["", best]], exclude_seen=[False])
    assert all(best not in names and len(names) == ITEMS - 1 for names in names_of(answer))


def test_with_all_but_three_excluded_three_are_left_then_padding(retrieval, full):
    exclude = [[name for name, _ in row[:50] + row[53:]] for row in full]
    answer = retrieval.ask("recommend", user_id=USERS, k=[10], exclude_ids=exclude, exclude_seen=[False])
    assert answer["ids"].shape == (len(USERS), 10)
    assert names_of(answer) == [[name for name, _ in row[50:53]] for row in full]


def test_with_everything_excluded_the_list_is_padding_alone(retrieval, log):
    answer = retrieval.ask("recommend", user_id=USERS[:1], k=[5], exclude_ids=[list(log.items)])
    assert names_of(answer) == [[]]


def test_only_allowed_items_are_listed_in_the_order_of_their_scores(retrieval, full):
    allow = [["", row[99][0], row[7][0], row[30][0], "no such item"] for row in full]
    answer = retrieval.ask("recommend", user_id=USERS, k=[10], allow_ids=allow, exclude_seen=[False])
    assert names_of(answer) == [[row[7][0], row[30][0], row[99][0]] for row in full]


def test_a_row_without_an_allow_list_is_not_limited_by_its_neighbours(retrieval, full):
    allow = [["", ""] for _ in full]
    allow[1] = ["", full[1][60][0]]
    answer = retrieval.ask("recommend", user_id=USERS, k=[3], allow_ids=allow, exclude_seen=[False])
    expected = [[name for name, _ in row[:3]] for row in full]
    expected[1] = [full[1][60][0]]
    assert names_of(answer) == expected


def test_one_allow_list_serves_all_rows(retrieval, full):
    allowed = {full[0][80][0], full[0][90][0]}
    answer = retrieval.ask("recommend", user_id=USERS, allow_ids=[["", *allowed]], exclude_seen=[False])
    assert [set(names) for names in names_of(answer)] == [allowed] * len(USERS)


def test_an_allow_list_of_unknown_items_allows_nothing(retrieval):
    assert names_of(retrieval.ask("recommend", user_id=USERS[:1], allow_ids=[["no such item"]])) == [[]]


def test_seen_items_are_left_out_by_default_and_kept_on_demand_row_by_row(retrieval, full, seen):
    wanted = [row % 2 == 0 for row in range(len(USERS))]
    answer = retrieval.ask("recommend", user_id=USERS, k=[ITEMS], exclude_seen=wanted)
    for user, row, names, without_seen in zip(USERS, full, names_of(answer), wanted, strict=True):
        everything = [name for name, _ in row]
        assert names == ([name for name in everything if name not in seen[user]] if without_seen else everything)
    default = retrieval.ask("recommend", user_id=USERS, k=[ITEMS])
    for user, row, names in zip(USERS, full, names_of(default), strict=True):
        assert names == [name for name, _ in row if name not in seen[user]]


def test_random_filters_are_the_plain_filter_of_the_full_list(retrieval, full, seen, log):
    rng = random.Random(5)
    items = [*log.items, "unknown a", "unknown b"]
    for _ in range(25):
        rows = len(USERS)
        exclude = [["", *rng.sample(items, rng.randint(0, 119))] for _ in range(rows)]
        allow = [["", *(rng.sample(items, rng.randint(1, 80)) if rng.random() < 0.5 else [])] for _ in range(rows)]
        without_seen = [rng.random() < 0.5 for _ in range(rows)]
        ks = [rng.randint(0, 130) for _ in range(rows)]
        for table in (exclude, allow):
            width = max(map(len, table))
            table[:] = [[*row, *[""] * (width - len(row))] for row in table]
        answer = retrieval.ask(
            "recommend", user_id=USERS, k=ks, exclude_ids=exclude, allow_ids=allow, exclude_seen=without_seen
        )
        expected = []
        for row, user in enumerate(USERS):
            allowed = set(allow[row]) - {""}
            kept = [
                name
                for name, _ in full[row]
                if name not in exclude[row]
                and (not allowed or name in allowed)
                and not (without_seen[row] and name in seen[user])
            ]
            expected.append(kept[: ks[row]])
        assert names_of(answer) == expected


def test_a_history_in_the_request_takes_the_place_of_the_stored_one(retrieval, log):
    comedies = [i for i, item in log.items.items() if item["genres"] == "Comedy"]
    crimes = [i for i, item in log.items.items() if item["genres"] == "Crime"]
    histories = [comedies[:6], crimes[:6]]
    answer = retrieval.ask(
        "recommend",
        user_id=[USERS[0], USERS[0]],
        history=[[*h, *[""] * (6 - len(h))] for h in histories],
        exclude_seen=[False],
    )

    def share(names, genre):
        return np.mean([genre in log.items[name]["genres"].split("|") for name in names])

    first, second = names_of(answer)
    assert share(first, "Comedy") > 0.5 > share(first, "Crime")
    assert share(second, "Crime") > 0.5 > share(second, "Comedy")


def test_a_history_is_given_row_by_row(retrieval, log):
    given = ["i0003", "i0004"]
    both = retrieval.ask("recommend", user_id=USERS[:2], history=[["", ""], given])
    stored = retrieval.ask("recommend", user_id=USERS[:1])
    own = retrieval.ask("recommend", user_id=USERS[1:2], history=[given])
    assert names_of(both) == [*names_of(stored), *names_of(own)]


def test_a_history_longer_than_the_model_reads_counts_by_its_last_items(retrieval, log):
    items = list(log.items)
    long, last = items[:60], items[40:60]
    found = [
        retrieval.ask("recommend", user_id=USERS[:1], history=[h], exclude_seen=[False])["scores"] for h in (long, last)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_what_a_request_says_was_seen_is_not_recommended_unless_it_is_wanted(retrieval):
    every = 121
    histories = [["i0003", "i0004", "never seen"], ["i0050", "", ""]]
    asked = {"user_id": ["nobody", "nobody"], "history": histories, "k": [every]}
    new, all_of_it = retrieval.ask("recommend", **asked), retrieval.ask("recommend", exclude_seen=[False], **asked)
    for found, everything, history in zip(names_of(new), names_of(all_of_it), histories, strict=True):
        assert len(everything) == every
        assert found == [name for name in everything if name not in history]
    mixed = retrieval.ask("recommend", exclude_seen=[True, False], **asked)
    assert names_of(mixed) == [names_of(new)[0], names_of(all_of_it)[1]]


def test_given_user_features_take_the_place_of_stored_ones_and_are_spread_over_the_batch(retrieval):
    stored = retrieval.ask("recommend", user_id=USERS, exclude_seen=[False])["scores"]
    once = retrieval.ask("recommend", user_id=USERS, country=["KE"], age=[70.0], exclude_seen=[False])["scores"]
    each = retrieval.ask("recommend", user_id=USERS, country=["KE"] * 9, age=[70.0] * 9, exclude_seen=[False])["scores"]
    np.testing.assert_allclose(once, each, rtol=1e-6)
    assert not np.allclose(stored, once)


def test_the_stored_id_of_a_user_counts_where_the_model_uses_it(with_user_ids):
    history = [["i0003", "i0004"]] * 2
    found = with_user_ids.ask("recommend", user_id=["u00001", "nobody"], history=history, exclude_seen=[False])
    assert not np.allclose(found["scores"][0], found["scores"][1])


def test_the_two_embeddings_multiply_to_the_scores(retrieval, full, log):
    users = retrieval.ask("user_embedding", user_id=USERS)["embeddings"]
    names = list(log.items)
    genres = [(log.items[name]["genres"].split("|") + [""])[:2] for name in names]
    items = retrieval.ask("item_embedding", item_id=names, genres=genres)["embeddings"]
    product = users @ items.T
    assert users.shape == (len(USERS), 64)
    for row, found in enumerate(full):
        expected = dict(zip(names, product[row].tolist(), strict=True))
        assert dict(found) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_known_items_embedding_needs_only_its_id(retrieval, log):
    names = list(log.items)[:20]
    genres = [(log.items[name]["genres"].split("|") + [""])[:2] for name in names]
    given = retrieval.ask("item_embedding", item_id=names, genres=genres)["embeddings"]
    looked_up = retrieval.ask("item_embedding", item_id=names)["embeddings"]
    np.testing.assert_allclose(looked_up, given, rtol=1e-5)


def test_the_items_signature_shows_titles_and_says_what_is_unknown(retrieval, log):
    names = [*list(log.items)[:5], "no such item", "", "new_item"]
    found = retrieval.ask("items", item_ids=names)
    titles = [log.items[name]["title"] if name in log.items else "" for name in names]
    assert [title.decode() for title in found["title"]] == titles
    assert found["is_known"].tolist() == [True] * 5 + [False, False, True]


def test_serving_default_is_recommend(retrieval):
    one, other = (retrieval.ask(name, user_id=USERS) for name in ("serving_default", "recommend"))
    assert names_of(one) == names_of(other)


def test_an_empty_batch_gives_an_empty_answer(retrieval):
    assert retrieval.ask("recommend", user_id=[])["ids"].shape[0] == 0
