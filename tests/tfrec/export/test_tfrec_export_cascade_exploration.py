"""Places of a cascade's list that explore, and what it says of their probabilities."""

import numpy as np
import pytest

from tests.tfrec.export.conftest import served
from tfrec.errors import ConfigError
from trainer.release.cascade import export_cascade

USERS = ["u00001", "u00018", "u00200", "nobody"]
EXPLORED = ("model.exploration.kind=thompson", "train.epochs=2", "model.embedding_dim=8")


def test_epsilon_shows_candidates_at_random_in_its_share_of_the_places(retrieval, ranking, tmp_path):
    settings = ["candidates=60", "exploration={kind: epsilon, share: 0.25}"]
    explored = served(export_cascade([retrieval.job], ranking.job, str(tmp_path), settings, checks="none"))
    users, k = ["u00001"] * 200, 8
    found = explored.ask("stages", user_id=users, k=[k])
    again = explored.ask("stages", user_id=users, k=[k])
    is_explored = found["is_explored"]
    assert (found["ids"] != again["ids"]).any()
    # 1,600 draws of probability 0.25: the share is within 4 standard deviations of it.
    assert abs(is_explored.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / is_explored.size)
    for places, flags, ids in zip(found["ranking_places"], is_explored, found["ids"], strict=True):
        assert len(set(ids.tolist())) == k
        assert (np.diff(places[~flags]) > 0).all()  # the others keep the order of the ranking
    shown = found["ranking_places"][is_explored]
    assert 24 < shown.mean() < 37  # of places 1 to 60, drawn alike: 30.5, its standard error below 1
    assert (found["num_candidates"] == 60).all()
    for places, said in zip(found["ranking_places"].tolist(), found["propensities"], strict=True):
        left, expected = list(range(1, 61)), []
        for place in places:
            expected.append(0.25 / len(left) + (0.75 if place == left[0] else 0))
            left.remove(place)
        assert said == pytest.approx(expected)
    few = explored.ask("recommend", user_id=users[:1], k=[3], allow_ids=[["i0001", "i0002"]], exclude_seen=[False])
    assert few["num_candidates"].tolist() == [2]
    assert few["propensities"][0, 1:].tolist() == [1, 0]  # the last one left, and no item
    assert explored.ask("recommend", user_id=users[:1], k=[0])["propensities"].shape == (1, 0)


def test_thompson_explores_what_a_draw_likes_best(world, ranking, tmp_path):
    job = world.job("bayesian_mf", *EXPLORED)
    settings = ["candidates=30", "exploration={kind: thompson, share: 0.5}"]
    explored = served(export_cascade([job], ranking.job, str(tmp_path), settings))
    found = explored.ask("stages", user_id=USERS, k=[10])
    assert 0 < found["is_explored"].sum() < found["is_explored"].size
    for flags, ranks in zip(found["is_explored"], found["source_ranks"][:, :, 0].tolist(), strict=True):
        left = list(range(1, 31))
        for is_explored, rank in zip(flags, ranks, strict=True):
            assert not is_explored or rank == left[0]
            left.remove(rank)
    assert "propensities" not in found  # of a draw's favourite nobody knows it


def test_thompson_without_draws_is_refused(retrieval, ranking, tmp_path):
    with pytest.raises(ConfigError, match="name a job of bayesian_mf"):
        export_cascade([retrieval.job], ranking.job, str(tmp_path), ["exploration.kind=thompson"])
    assert list(tmp_path.iterdir()) == []
