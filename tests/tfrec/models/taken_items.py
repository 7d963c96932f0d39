"""Model inputs from plain lists of what each user took, and the features of those users; no files, no transforms."""

import numpy as np
import tensorflow as tf

from tfrec.dataset.interactions import Interactions
from tfrec.models.inputs import Catalogue, ModelInputs
from tfrec.schema import Schema

FIRST_ID = 2  # 0 is padding, 1 what no vocabulary has
UNKNOWN = 1


def inputs_of(taken, num_items, history=None, *, ratings=None, times_ms=None):
    """`taken`: item indices of each user, oldest first; `history`: length of the sequence feature, None for none;
    `ratings` and `times_ms`: of each user's events, in the same order, None for none.
    """
    features = {
        "user_id": {"role": "user", "kind": "categorical", "id": True},
        "item_id": {"role": "item", "kind": "categorical", "id": True},
    }
    if history is not None:
        features["history"] = {"role": "user", "kind": "sequence", "length": history}
    content = {"name": "taken", "features": features, "split": {"strategy": "random"}}
    if ratings is not None:
        content["label"] = {"column": "rating"}
    if times_ms is not None:
        content["timestamp"] = {"column": "time", "unit": "ms"}
    schema = Schema.model_validate(content)
    splits = np.cumsum([0, *map(len, taken)]).astype(np.int64)
    items = flat(taken, np.int64)
    train = Interactions(
        splits,
        items,
        num_items,
        labels=None if ratings is None else flat(ratings, np.float32),
        times_ms=None if times_ms is None else flat(times_ms, np.int64),
    )
    ids = np.array([b"%d" % item for item in range(num_items)], object)
    num_ids = {"user_id": FIRST_ID + len(taken), "item_id": FIRST_ID + num_items, "history": FIRST_ID + num_items}
    catalogue = Catalogue(ids, {"item_id": np.arange(num_items) + FIRST_ID}, {})
    return ModelInputs(schema, num_ids, catalogue, train)


def flat(rows, dtype):
    return np.array([value for row in rows for value in row], dtype)


def request(users, histories=None):
    """Encoded features: user indices, None for an unknown user; histories as item indices, oldest first."""
    ids = [UNKNOWN if user is None else FIRST_ID + user for user in users]
    features = {"user_id": tf.constant(ids, tf.int64)}
    if histories is not None:
        width = max([1, *map(len, histories)])
        rows = [[FIRST_ID + item for item in row] + [0] * (width - len(row)) for row in histories]
        features["history"] = tf.constant(rows, tf.int64)
    return features


def profile_by_hand(items, half_life):
    """Item → weight, of items oldest first."""
    profile = {}
    for item in reversed(items):
        if item not in profile:
            profile[item] = 1.0 if half_life is None else 0.5 ** (len(profile) / half_life)
    return profile
