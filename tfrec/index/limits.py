"""Where lists stop being worth it."""

import math

MOST_PROBES = 64  # each is three operations in the graph
MOST_SHARE = 4  # lists per probe: looking into more than a quarter of them takes as long as scoring all
FEWEST_ITEMS = 20_000  # below, scoring all takes no longer than choosing lists
FEWEST_QUERIES = 20  # to choose by, and as many to measure with


def usual_lists(num_items: int) -> int:
    """The power of two nearest to 2√n: as many centres are scored as items of a list, or of a few."""
    return min(num_items, 2 ** round(math.log2(2 * math.sqrt(num_items))))


def usual_scann_lists(num_items: int) -> int:
    """The power of two nearest to √n, as ScaNN advises: with more, its lists miss more."""
    return min(num_items, 2 ** round(math.log2(math.sqrt(num_items))))


def most_probes(lists: int) -> int:
    """What tuning may go up to."""
    return max(1, min(lists // MOST_SHARE, MOST_PROBES))
