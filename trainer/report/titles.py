"""What people call the items and users of a dataset."""

from __future__ import annotations

import numpy as np

from tfrec.dataset.directory import RAW_PREFIX
from tfrec.dataset.records import read_part
from tfrec.schema import USER_INDEX
from trainer.data import JobData


def item_titles(data: JobData) -> list[str]:
    """The first text feature of each item; the id of an item that has none."""
    catalogue = data.catalogue
    texts = next(iter(catalogue.display.values()), catalogue.ids)
    return [(text or item).decode("utf-8", "replace") for text, item in zip(texts, catalogue.ids, strict=True)]


def user_ids(data: JobData) -> list[str]:
    """Raw ids by user index."""
    name = RAW_PREFIX + data.schema.user_id
    columns = read_part(data.dataset, "users", [USER_INDEX, name])
    order = np.argsort(columns[USER_INDEX])
    return [text.decode("utf-8", "replace") for text in columns[name][order]]
