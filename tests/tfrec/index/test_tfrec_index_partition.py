"""Lists of like items: complete, even, and where the clusters are."""

import numpy as np
import pytest

from tfrec.errors import ConfigError
from tfrec.index import partition
from tfrec.index.partition import CAPACITY


@pytest.fixture(scope="module")
def clustered():
    rng = np.random.default_rng(1)
    of_item = rng.integers(0, 16, 2000)
    centres = np.linalg.qr(rng.normal(size=(20, 20)))[0][:16]
    return centres[of_item] + 0.02 * rng.normal(size=(2000, 20)), of_item


@pytest.mark.parametrize("lists", [1, 7, 16, 64])
def test_every_item_stands_in_one_list_and_no_list_is_over_its_capacity(clustered, lists):
    parts = partition(clustered[0].astype(np.float32), lists)
    assert sorted(parts.order) == list(range(2000))
    assert (parts.starts[0], parts.starts[-1], len(parts.starts)) == (0, 2000, lists + 1)
    assert np.diff(parts.starts).max() <= np.ceil(CAPACITY * 2000 / lists)
    for one in range(lists):
        items = parts.order[parts.starts[one] : parts.starts[one + 1]]
        assert list(items) == sorted(items)
        if len(items):
            np.testing.assert_allclose(parts.centres[one], clustered[0][items].mean(axis=0), atol=1e-5)


def test_items_of_a_cluster_share_a_list(clustered):
    vectors, of_item = clustered
    parts = partition(vectors.astype(np.float32), 16)
    list_of = np.empty(2000, int)
    list_of[parts.order] = np.repeat(np.arange(16), np.diff(parts.starts))
    largest = sum(np.bincount(list_of[of_item == one]).max() for one in range(16))
    assert largest / 2000 > 0.7  # clusters that share a centre spill into others; a random split has 0.1


def test_the_same_seed_gives_the_same_lists_and_another_one_others(clustered):
    vectors = clustered[0].astype(np.float32)
    one, again, other = partition(vectors, 32, 1), partition(vectors, 32, 1), partition(vectors, 32, 2)
    assert one.order.tobytes() == again.order.tobytes()
    assert one.centres.tobytes() == again.centres.tobytes()
    assert one.order.tobytes() != other.order.tobytes()


def test_items_without_a_direction_and_copies_of_one_item_overfill_no_list():
    for vectors in (np.zeros((90, 3), np.float32), np.ones((90, 3), np.float32)):
        parts = partition(vectors, 9)
        assert sorted(parts.order) == list(range(90))
        assert np.diff(parts.starts).max() <= CAPACITY * 10


@pytest.mark.parametrize("lists", [0, 11])
def test_more_lists_than_items_are_an_error(lists):
    with pytest.raises(ConfigError, match=f"{lists} lists of 10 items"):
        partition(np.ones((10, 2), np.float32), lists)
