"""What is asked of a list."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from serving.client.signature import Array
from serving.client.signature_inputs import PADDING, padded_rows
from serving.client.user_questions import Controls
from tfrec.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is asked of `recommend` for every user of a call; `ranker` orders `candidates` items of the model."""

    k: int = 10
    exclude_seen: bool = True
    ranker: str | None = None
    candidates: int = 100

    def __post_init__(self) -> None:
        for name in ("k", "candidates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: got {getattr(self, name)}; allowed: whole numbers from 1")

    def controls(self, users: int, exclude: Sequence[Iterable[Any]], allow: Sequence[Iterable[Any]]) -> Controls:
        """Inputs of a list's signature. `exclude` and `allow` have a list for each user, or none at all."""
        for name, lists in (("exclude", exclude), ("allow", allow)):
            if len(lists) not in (0, users):
                raise ConfigError(f"{name}: got {len(lists)} lists for {users} users; pass one each")
        depth = self.k if self.ranker is None else max(self.k, self.candidates)
        return {
            "k": np.full(users, depth, dtype=np.int32),
            "exclude_ids": _id_lists(exclude),
            "allow_ids": _id_lists(allow),
            "exclude_seen": None if self.exclude_seen else np.zeros(users, dtype=bool),
        }


def _id_lists(lists: Sequence[Iterable[Any]]) -> Array | None:
    """The lists behind a first "", as servers that pad want it; None, the model's default, where all are empty."""
    rows = [list(ids) for ids in lists]
    return padded_rows(rows, prefix=[PADDING]) if any(rows) else None
