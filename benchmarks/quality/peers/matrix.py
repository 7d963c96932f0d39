"""Split files as the sparse matrix that many libraries take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from benchmarks.quality.splits import Splits


def user_items(splits: Splits, names: Sequence[str]) -> sparse.csr_matrix:
    """1 where a user has an event with an item in these splits. float32 [users, items]"""
    users, items = splits.pairs(names)
    shape = (len(splits.users), len(splits.items))
    found = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=shape)
    found.data[:] = 1  # pairs that stand twice were added up
    return found
