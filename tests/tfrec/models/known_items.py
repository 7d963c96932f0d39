"""Model inputs with ratings and item features, on top of plain lists of what each user took."""

from dataclasses import replace

import numpy as np

from tests.tfrec.models.taken_items import inputs_of
from tfrec.dataset.interactions import Interactions
from tfrec.models.inputs import Catalogue
from tfrec.schema import Schema

FIRST_ID = 2  # 0 is padding, 1 what no vocabulary has


def with_schema(inputs, **changes):
    """`features` are added, other keys replaced."""
    content = inputs.schema.model_dump(mode="json")
    content["features"] |= changes.pop("features", {})
    return replace(inputs, schema=Schema.model_validate(content | changes))


def rated_inputs(rated, num_items, label=None, **more):
    """`rated`: (item, rating) pairs of each user, oldest first; `label`: more keys of the label."""
    inputs = inputs_of([[item for item, _ in row] for row in rated], num_items, **more)
    inputs = with_schema(inputs, label={"column": "rating", **(label or {})})
    labels = np.array([rating for row in rated for _, rating in row], np.float32)
    train = inputs.train
    return replace(inputs, train=Interactions(train.row_splits, train.items, num_items, labels))


def with_content(inputs, genres, words, ages=None):
    """`genres` and `words`: token numbers of each item, −1 for one that no vocabulary has; `ages`: standardised."""
    features = {
        "genres": {"role": "item", "kind": "categorical", "list": True, "max_values": 4},
        "title": {"role": "item", "kind": "text", "tokens": {"max_tokens": 6}},
    }
    columns = {name: padded(rows) for name, rows in (("genres", genres), ("title", words))}
    tokens = {name: max([-1, *(token for row in rows for token in row)]) + 1 for name, rows in given(genres, words)}
    if ages is not None:
        features["age"] = {"role": "item", "kind": "numeric"}
        columns["age"] = np.array(ages, np.float32)
    inputs = with_schema(inputs, features=features)
    catalogue = Catalogue(
        inputs.catalogue.ids,
        {**inputs.catalogue.features, **columns},
        {},
        {
            name: np.array([b"%s%d" % (name.encode(), n) for n in range(count)], object)
            for name, count in tokens.items()
        },
    )
    num_ids = {**inputs.num_ids, **{name: FIRST_ID + count for name, count in tokens.items()}}
    return replace(inputs, catalogue=catalogue, num_ids=num_ids)


def given(genres, words):
    return (("genres", genres), ("title", words))


def padded(rows):
    """Token numbers → encoded ids, int64."""
    width = max([1, *map(len, rows)])
    return np.array([[FIRST_ID + token for token in row] + [0] * (width - len(row)) for row in rows], np.int64)
