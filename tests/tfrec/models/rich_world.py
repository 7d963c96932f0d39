"""The planted world with every kind of feature: also words, a vector, weights, a second history, and crosses."""

import math
import zlib

import numpy as np
import tensorflow as tf

from tests.trainer.planted_world import World, built_once, read_csv, write_csv
from tests.trainer.raw_rows import HISTORY_LENGTH, RawLog, padded

OVERRIDES = (
    "features.title.tokens={}",
    "features.picture={role: item, kind: vector, length: 2, separator: ' '}",
    "features.genre_weights={role: item, kind: weights, of: genres, separator: ' '}",
    "features.main_genre={role: item, kind: categorical}",
    "features.past_genres={role: user, kind: sequence, length: 20, of: main_genre}",
    "crosses.age_x_genres={of: [age, genres], hash_buckets: 60}",
    "crosses.country_x_age={of: [country, age], hash_buckets: 40}",
    "crosses.past_x_item={of: [history, item_id], hash_buckets: 20000}",
    "crosses.past_x_genre={of: [past_genres, main_genre], hash_buckets: 5000}",
)


def picture_of(row):
    """Two numbers of an item's title; every ninth has none."""
    number = zlib.crc32(row["title"].encode())
    return [] if number % 9 == 0 else [number % 7 / 7 - 0.5, number % 11 / 11 - 0.5]


def weights_of(row):
    """3, 2, 1 … for its genres; every fifth item has none, every seventh too few."""
    number, genres = zlib.crc32(row["item_id"].encode()), [g for g in row["genres"].split("|") if g]
    if number % 5 == 0:
        return []
    weights = [3.0 - place for place in range(len(genres))]
    return weights[:1] if number % 7 == 0 else weights


def main_genre_of(row):
    return row["genres"].split("|")[0] or "none"


class RichWorld(World):
    """A world of its own, below another root."""

    @property
    def logs(self):
        directory = self.root / "rich_logs"
        plain = super().logs
        with built_once(directory) as must_build:
            if must_build:
                scratch = self.root / "rich_logs.tmp"
                scratch.mkdir()
                rows = read_csv(plain / "items.csv")
                for row in rows:
                    row["picture"] = " ".join(map(str, picture_of(row)))
                    row["genre_weights"] = " ".join(map(str, weights_of(row)))
                    row["main_genre"] = main_genre_of(row)
                write_csv(scratch / "items.csv", rows)
                for name in ("events.csv", "users.csv"):
                    (scratch / name).write_bytes((plain / name).read_bytes())
                scratch.rename(directory)
        return directory

    def dataset(self, name="planted", *overrides, logs=None):
        return super().dataset(name, *OVERRIDES, *overrides, logs=logs)


class RichLog(RawLog):
    """Requests with the further features."""

    def requests(self, events):
        items = [self.items[event.item_id] for event in events]
        pictures = [picture_of(row) or [math.nan] * 2 for row in items]
        weights = [weights_of(row) for row in items]
        width = max([1, *map(len, weights)])
        filled = [[*given, *[math.nan] * (width - len(given))] for given in weights]
        numbers = {"picture": pictures, "genre_weights": filled}
        words = {
            "title": [row["title"] for row in items],
            "main_genre": [main_genre_of(row) for row in items],
            "past_genres": padded([[main_genre_of(self.items[i]) for i in e.past[-HISTORY_LENGTH:]] for e in events]),
        }
        return {
            **super().requests(events),
            **{name: tf.constant(np.float32(values)) for name, values in numbers.items()},
            **{name: tf.constant(values) for name, values in words.items()},
        }
