"""`rank`, `serving_default` and `examples` of an exported ranking model."""

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.raw_rows import padded

CANDIDATES = ["i0005", "i0100", "i0042", "i0001", "i0077"]


def scores_of(ranking, user_id, items, **given):
    """One row at a time through `serving_default`."""
    return {
        item: float(ranking.ask("serving_default", user_id=[user_id], item_id=[item], **given)["scores"][0])
        for item in items
    }


def ranked(answer, row=0):
    return dict(zip([i.decode() for i in answer["ids"][row]], answer["scores"][row].tolist(), strict=True))


def test_candidates_come_back_best_first_with_the_scores_of_their_rows(ranking):
    users = ["u00001", "u00018", "u00200"]
    orders = [CANDIDATES, CANDIDATES[::-1], CANDIDATES[2:] + CANDIDATES[:2]]
    answer = ranking.ask("rank", user_id=users, candidate_ids=orders)
    assert answer["ids"].shape == answer["scores"].shape == (3, 5)
    for row, user_id in enumerate(users):
        assert ranked(answer, row) == pytest.approx(scores_of(ranking, user_id, CANDIDATES), rel=1e-5)
        assert (np.diff(answer["scores"][row]) <= 0).all()


def test_one_user_serves_all_rows_of_candidates(ranking):
    rows = [CANDIDATES[:3], CANDIDATES[2:]]
    once = ranking.ask("rank", user_id=["u00001"], candidate_ids=rows)
    each = ranking.ask("rank", user_id=["u00001", "u00001"], candidate_ids=rows)
    assert (once["ids"] == each["ids"]).all()
    np.testing.assert_allclose(once["scores"], each["scores"], rtol=1e-6)


def test_given_user_features_take_the_place_of_stored_ones(ranking):
    answer = ranking.ask("rank", user_id=["u00001"], country=["BR"], age=[70.0], candidate_ids=[CANDIDATES])
    expected = scores_of(ranking, "u00001", CANDIDATES, country=["BR"], age=[70.0])
    assert ranked(answer) == pytest.approx(expected, rel=1e-5)
    assert ranked(answer) != pytest.approx(scores_of(ranking, "u00001", CANDIDATES), rel=1e-3)


def test_given_features_may_differ_by_row_while_the_user_is_given_once(ranking):
    answer = ranking.ask("rank", user_id=["u00001"], country=["BR", "US"], candidate_ids=[CANDIDATES, CANDIDATES])
    for row, country in enumerate(("BR", "US")):
        expected = scores_of(ranking, "u00001", CANDIDATES, country=[country])
        assert ranked(answer, row) == pytest.approx(expected, rel=1e-5)


def test_unknown_candidates_get_a_finite_score_and_padding_goes_last(ranking):
    answer = ranking.ask("rank", user_id=["u00001"], candidate_ids=[["", "no such item", "i0005", ""]])
    assert {i.decode() for i in answer["ids"][0][:2]} == {"no such item", "i0005"}
    assert np.isfinite(answer["scores"][0][:2]).all()
    assert answer["ids"][0][2:].tolist() == [b"", b""]
    assert np.isneginf(answer["scores"][0][2:]).all()


def test_an_unknown_user_gets_finite_scores(ranking):
    assert np.isfinite(ranking.ask("rank", user_id=["nobody"], candidate_ids=[CANDIDATES])["scores"]).all()


def test_no_candidates_give_an_empty_row(ranking):
    assert ranking.ask("rank", user_id=["u00001"], candidate_ids=np.zeros((1, 0), object))["ids"].shape == (1, 0)


def test_ids_alone_get_the_stored_features_of_user_and_item(ranking, log):
    events = log.of_split("test")[:50]
    raw = log.requests(events)
    full = {name: value.numpy() for name, value in raw.items() if name != "history"}
    given = ranking.ask("serving_default", **full)["scores"]
    looked_up = ranking.ask("serving_default", user_id=full["user_id"], item_id=full["item_id"])["scores"]
    np.testing.assert_allclose(looked_up, given, rtol=1e-5)


def test_given_item_features_take_the_place_of_stored_ones(ranking, log):
    found = ranking.ask(
        "serving_default", user_id=["u00001"] * 2, item_id=["i0005"] * 2, genres=padded([["Comedy"], ["Music"]])
    )["scores"]
    alone = [
        ranking.ask("serving_default", user_id=["u00001"], item_id=["i0005"], genres=[[genre]])["scores"][0]
        for genre in ("Comedy", "Music")
    ]
    np.testing.assert_allclose(found, alone, rtol=1e-5)
    assert found[0] != found[1]


def test_an_example_of_ids_alone_is_scored_like_the_row_of_ids(ranking):
    example = tf.train.Example()
    example.features.feature["user_id"].bytes_list.value.append(b"u00001")
    example.features.feature["item_id"].bytes_list.value.append(b"i0005")
    found = ranking.ask("examples", examples=[example.SerializeToString()])["scores"]
    assert found[0] == pytest.approx(scores_of(ranking, "u00001", ["i0005"])["i0005"], rel=1e-6)


def test_what_is_no_example_is_an_invalid_argument(ranking):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Could not parse example"):
        ranking.ask("examples", examples=[b"not an example"])


def test_titles_are_shown(ranking, log):
    found = ranking.ask("items", item_ids=["i0005"])
    assert found["title"].tolist() == [log.items["i0005"]["title"].encode()]
