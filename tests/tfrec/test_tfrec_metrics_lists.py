"""Ranked lists: hits, lengths and parts of them against plain Python."""

import numpy as np
import pytest

import tfrec.metrics.lists
from tests.tfrec.random_lists import random_case
from tfrec.metrics import RankedLists


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("table", [True, False])
def test_hits_are_the_listed_items_that_are_relevant(seed, table, monkeypatch):
    if not table:
        monkeypatch.setattr(tfrec.metrics.lists, "_DENSE", 0)
    case = random_case(seed)
    expected = [[item in wanted for item in row] for row, wanted in zip(case.listed, case.relevant, strict=True)]
    width = case.lists.items.shape[1]
    assert case.lists.hits.tolist() == [row + [False] * (width - len(row)) for row in expected]
    assert case.lists.lengths.tolist() == [len(row) for row in case.listed]


def test_some_of_the_users_keep_their_lists_and_what_they_should_find():
    case = random_case(1)
    rows = np.array([7, 0, 2])
    some = case.lists.of(rows)
    assert some.users.tolist() == case.lists.users[rows].tolist()
    assert some.hits.tolist() == case.lists.hits[rows].tolist()
    assert [
        some.relevant_items[a:b].tolist() for a, b in zip(some.relevant_splits, some.relevant_splits[1:], strict=False)
    ] == [case.relevant[row] for row in rows]


@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_no_users_and_no_places_have_no_hits(shape):
    users = np.arange(shape[0])
    lists = RankedLists(
        users, np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape[0] + 1, np.int64), np.zeros(0, np.int64)
    )
    assert lists.hits.shape == shape
    assert not lists.hits.any()
