"""Parts of the events by what their users, items and requests are, in which a model may promise too much."""

from __future__ import annotations

import numpy as np

from tfrec.dataset.records import Arrays
from tfrec.metrics.facts import ItemFacts
from tfrec.metrics.fairness import popularity_groups
from tfrec.schema import ITEM_INDEX, USER_INDEX, CategoricalFeature
from trainer.data import JobData
from trainer.evaluation.facts import MOST_GROUPS, activity_quarters


def event_slices(data: JobData, records: Arrays) -> dict[str, np.ndarray]:
    """Slice of each event, by property: `activity` of the user and `popularity` of the item in training, and every
    single-valued categorical feature of up to 20 ids. int64 [rows] each
    """
    train = data.model_inputs.train
    popularity = popularity_groups(ItemFacts.of(train).training_users).of_item
    found = {
        "activity": activity_quarters(train).of_user[records[USER_INDEX]],
        "popularity": popularity[records[ITEM_INDEX]],
    }
    for name, feature in data.schema.of_role("user", "item", "context").items():
        is_plain = isinstance(feature, CategoricalFeature) and not (feature.id or feature.multivalued)
        if is_plain and 1 < data.model_inputs.num_ids.get(name, 0) <= MOST_GROUPS:
            found[name] = records[name]
    return found
