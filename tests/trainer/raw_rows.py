"""Rows of the planted world straight from its CSV logs, by plain Python: what a request would hold."""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tests.trainer.planted_world import read_csv

HISTORY_LENGTH = 20


@dataclass(frozen=True)
class Event:
    """One line of events.csv, and what its user had taken before."""

    user_id: str
    item_id: str
    rating: int
    past: tuple[str, ...]
    split: str


class RawLog:
    """Events with their splits, users and items, as dictionaries of strings."""

    def __init__(self, logs):
        self.users = {row["user_id"]: row for row in read_csv(logs / "users.csv")}
        self.items = {row["item_id"]: row for row in read_csv(logs / "items.csv")}
        by_user = defaultdict(list)
        for row in read_csv(logs / "events.csv"):
            by_user[row["user_id"]].append(row)
        self.events = []
        for user_id, rows in by_user.items():
            rows.sort(key=lambda row: int(row["timestamp"]))  # stable: ties stay in the order of the file
            items = [row["item_id"] for row in rows]
            for place, row in enumerate(rows):
                left = len(rows) - 1 - place
                split = {0: "test", 1: "validation"}.get(left, "train") if len(rows) >= 3 else "train"
                self.events.append(Event(user_id, row["item_id"], int(row["rating"]), tuple(items[:place]), split))

    def of_split(self, split):
        return [event for event in self.events if event.split == split]

    def requests(self, events):
        """Raw features of events as tensors, under the features' names."""
        users = [self.users[event.user_id] for event in events]
        genres = [self.items[event.item_id]["genres"].split("|") for event in events]
        age = np.float32([float(user["age"]) if user["age"] else math.nan for user in users])
        country = [user["country"] for user in users]
        columns = {
            "user_id": [event.user_id for event in events],
            "age": age,
            "age_in_years": age,
            "country": country,
            "country_hash": country,
            "history": padded([event.past[-HISTORY_LENGTH:] for event in events]),
            "item_id": [event.item_id for event in events],
            "genres": padded(genres),
        }
        return {name: tf.constant(values) for name, values in columns.items()}


def padded(rows):
    """Lists of strings as a rectangle, with "" at the end, and one column at least."""
    width = max([1, *(len(row) for row in rows)])
    return [[*row, *[""] * (width - len(row))] for row in rows]


def input_names(signature):
    return set(signature.structured_input_signature[1])


def call(signature, tensors, **more):
    """Call a loaded signature with those of the tensors that it takes."""
    taken = {name: value for name, value in tensors.items() if name in input_names(signature)}
    return {name: value.numpy() for name, value in signature(**taken, **more).items()}
