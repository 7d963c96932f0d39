"""What lists are judged beside: how popular and how alike items are, and the groups that users belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import read_part
from tfrec.metrics.facts import ItemFacts, multi_hot
from tfrec.metrics.fairness import popularity_groups
from tfrec.schema import USER_INDEX, CategoricalFeature
from trainer.data import JobData

WIDEST = 128  # ids of a feature that says how alike items are, or which group a user belongs to
VECTOR_VALUES = 1 << 26  # of all items together
MOST_GROUPS = 20
ACTIVITY_PARTS = 4


@dataclass(frozen=True)
class UserGrouping:
    """One group of each user, −1 for none. `of_user` int64 [num_users]"""

    name: str
    of_user: np.ndarray
    names: tuple[str, ...]


def item_facts(data: JobData) -> ItemFacts:
    """Training users of each item, the values of its categorical features as a vector, head, middle and tail."""
    facts = ItemFacts.of(data.model_inputs.train, _item_vectors(data))
    groups = {"popularity": popularity_groups(facts.training_users)}
    return ItemFacts(facts.training_users, facts.num_users, facts.vectors, groups)


def vector_features(data: JobData) -> list[str]:
    """The item features that say how alike two items are."""
    found, width = [], 0
    for name, feature in data.schema.of_role("item").items():
        ids = data.model_inputs.num_ids.get(name, 0)
        if not isinstance(feature, CategoricalFeature) or feature.id or not 1 < ids <= WIDEST:
            continue
        if (width + ids) * data.catalogue.size <= VECTOR_VALUES:
            found.append(name)
            width += ids
    return found


def _item_vectors(data: JobData) -> np.ndarray | None:
    parts = []
    for name in vector_features(data):
        feature = data.schema.features[name]
        assert isinstance(feature, CategoricalFeature)
        num_oov = 0 if feature.hash_buckets is not None else feature.first_token_id - 1
        parts.append(multi_hot(data.catalogue.features[name], data.model_inputs.num_ids[name], num_oov))
    return np.concatenate(parts, axis=1) if parts else None


def user_groupings(data: JobData) -> list[UserGrouping]:
    """By training events, in quarters of the users, and by every single-valued categorical feature of few values."""
    found = [activity_quarters(data.model_inputs.train)]
    names = [
        name
        for name, feature in data.schema.of_role("user").items()
        if isinstance(feature, CategoricalFeature)
        and not (feature.id or feature.multivalued)
        and 1 < data.model_inputs.num_ids.get(name, 0) <= MOST_GROUPS
    ]
    if names:
        records = read_part(data.dataset, "users", [USER_INDEX, *names])
        order = np.argsort(records[USER_INDEX])
        for name in names:
            groups = tuple(str(number) for number in range(data.model_inputs.num_ids[name]))
            found.append(UserGrouping(name, records[name][order].astype(np.int64), groups))
    return found


def activity_quarters(train: Interactions) -> UserGrouping:
    """Quarters of the users with training events, the least active first; the others are a group of their own."""
    counts = np.diff(train.row_splits)
    active = counts[counts > 0]
    edges = np.quantile(active, np.arange(1, ACTIVITY_PARTS) / ACTIVITY_PARTS) if len(active) else np.zeros(0)
    of_user = np.where(counts > 0, 1 + np.searchsorted(edges, counts, side="left"), 0)
    names = ("no training events", *(f"quarter {number}" for number in range(1, ACTIVITY_PARTS + 1)))
    return UserGrouping("activity", of_user.astype(np.int64), names)
