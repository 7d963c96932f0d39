"""Users with their histories and items with their titles, of a dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from serving.dataset_tables import DatasetTables

_EVENT_COUNT = "event_count"
_TITLE = "title"
UNKNOWN_ITEM = ""  # stands in a history for an item that training has not seen


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """What the page knows beside the models; all of it empty where it was given no dataset."""

    users: tuple[str, ...] = ()  # most active first
    event_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    histories: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # latest last
    items: tuple[str, ...] = ()
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    history: str | None = None  # the feature that is a user's past


def read_catalogue(dataset: Path) -> Catalogue:
    """Read a dataset directory. Raises ArtifactError where it is none, or damaged."""
    tables = DatasetTables(dataset)
    schema = tables.schema
    items, titles, item_of_code = _items(tables)
    raw_user = f"raw/{schema.user_id}"
    columns: dict[str, Any] = {
        raw_user: tf.io.FixedLenFeature([], tf.string),
        _EVENT_COUNT: tf.io.FixedLenFeature([], tf.int64, 0),
    }
    if schema.history is not None:
        columns[schema.history] = tf.io.RaggedFeature(tf.int64)
    rows = tables.columns("users", columns)
    users = [user.decode() for user in rows[raw_user]]
    order = np.argsort(-rows[_EVENT_COUNT].astype(np.int64), kind="stable")
    histories: dict[str, tuple[str, ...]] = {}
    if schema.history is not None:
        histories = {
            user: tuple(item_of_code.get(int(code), UNKNOWN_ITEM) for code in codes if code)
            for user, codes in zip(users, rows[schema.history], strict=True)
        }
    return Catalogue(
        users=tuple(users[i] for i in order),
        event_counts=dict(zip(users, map(int, rows[_EVENT_COUNT]), strict=True)),
        histories=histories,
        items=items,
        titles=titles,
        history=schema.history,
    )


def _items(tables: DatasetTables) -> tuple[tuple[str, ...], dict[str, str], dict[int, str]]:
    """Item ids, their titles, and the item of each code that stands for one alone."""
    schema = tables.schema
    raw_item, raw_title = f"raw/{schema.item_id}", f"raw/{_TITLE}"
    columns: dict[str, Any] = {
        raw_item: tf.io.FixedLenFeature([], tf.string),
        schema.item_id: tf.io.FixedLenFeature([], tf.int64),
    }
    has_titles = _TITLE in schema.display
    if has_titles:
        columns[raw_title] = tf.io.FixedLenFeature([], tf.string, "")
    rows = tables.columns("items", columns)
    ids = tuple(item.decode() for item in rows[raw_item])
    codes = [int(code) for code in rows[schema.item_id]]
    # Items that training has not seen share the codes above padding.
    shared = schema.item_id_feature.num_oov_indices
    item_of_code = {code: item for code, item in zip(codes, ids, strict=True) if code > shared}
    return ids, _titles(ids, rows[raw_title].tolist() if has_titles else []), item_of_code


def _titles(ids: Sequence[str], titles: Sequence[bytes]) -> dict[str, str]:
    return {item: title.decode() for item, title in zip(ids, titles, strict=False) if title}
