"""A small log that has every kind of feature, and what the transforms should make of it: plain loops over csv rows."""

from __future__ import annotations

import csv
import math
import random
from collections import Counter
from pathlib import Path

import tensorflow as tf

SHOP_YAML = """\
name: shop
events: {files: events.csv}
users: {files: users.csv, delimiter: "|"}
items: {files: items.csv}
features:
  user: {role: user, kind: categorical, id: true}
  age: {role: user, kind: numeric, buckets: 4}
  city: {role: user, kind: categorical, num_oov_indices: 3, default: nowhere}
  langs: {role: user, kind: categorical, separator: "/", max_values: 2}
  mood: {role: user, kind: categorical}
  past: {role: user, kind: sequence, length: 3}
  item: {role: item, kind: categorical, id: true, min_count: 2}
  name: {role: item, kind: text}
  year: {role: item, kind: numeric}
  tags: {role: item, kind: categorical, separator: ";", max_size: 3}
  labels: {role: item, kind: categorical, flags: [fresh, sale]}
  shelf: {role: item, kind: categorical, hash_buckets: 5}
  device: {role: context, kind: categorical, min_count: 12}
  spent: {role: context, kind: numeric, log: true}
  amount: {role: context, kind: numeric, standardize: false, default: -1}
label: {column: stars, threshold: 4}
timestamp: {column: when, unit: s}
split: {strategy: leave_one_out}
"""
START = 1_600_000_000
HISTORY = 3


def write_shop(directory: Path, seed: int = 5) -> None:
    """14 users in the log, some of one or two events; two only in their table, three not in it; likewise items."""
    rng = random.Random(seed)
    users = [f"u{number}" for number in range(14)]
    items = [f"i{number}" for number in range(18)]
    events = []
    for number, user in enumerate(users):
        for _ in range(number + 1 if number < 3 else rng.randint(4, 20)):
            events.append(
                {
                    "user": user,
                    "item": items[min(int(rng.expovariate(0.2)), 17)],
                    "stars": rng.choice(["1", "2", "3", "4", "5", "4.0", "5"]),
                    "when": str(START + rng.randint(0, 60) * 3600),  # with many ties
                    "mood": rng.choice(["glad", "sad", "calm", ""]),
                    "shelf": rng.choice(["left", "right", ""]),
                    "device": rng.choice(["phone"] * 5 + ["desk"] * 4 + ["tv", "watch", ""]),
                    "spent": rng.choice(["", "0", "1.5", "20", "300", " 7 "]),
                    "amount": rng.choice(["", "1", "2", "3"]),
                }
            )
    rng.shuffle(events)
    # A city, a tag and a device that training never sees: the last events of a user and an item of their own.
    events.append(events[0] | {"user": "u9", "item": "late", "device": "visor", "when": str(START + 9_000_000)})
    _write(directory / "events.csv", events, ",")
    people = [
        {
            "user": user,
            "age": rng.choice(["", "18", "25", "25", "33", "47", "60"]),
            "city": rng.choice(["Oslo", "Rome", "", "Łódź", "São Paulo"]),
            "langs": rng.choice(["", "en", "en/no", "no/en/it", "/it/"]),
        }
        for user in [*users[:11], "u_new", "a_new"]
    ]
    rng.shuffle(people)
    _write(directory / "users.csv", people, "|")
    things = [
        {
            "item": item,
            "name": rng.choice(['The "best" lamp, ever', "Stuhl", "çay fincanı", ""]) + item,
            "year": rng.choice(["", "1990", "2001", "2020"]),
            "tags": rng.choice(["", "wood", "wood;red", "red;steel;wood;glass", "glass"]),
            "fresh": rng.choice("01"),
            "sale": rng.choice(["0", "1", ""]),
        }
        for item in [*items[:15], "late", "z_only", "b_only"]
    ]
    things[15]["tags"] = "wood;never_trained"
    _write(directory / "items.csv", things, ",")


def _write(path: Path, rows: list[dict[str, str]], delimiter: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


class PlainShop:
    """The shop's dataset by plain loops; `split_of` says for each event, by its row in the file, where it belongs."""

    def __init__(self, directory: Path, split_of: list[str], *, is_random: bool = False) -> None:
        self.is_random = is_random  # held-out events may lie before training ones: histories see training alone
        self.events = read_rows(directory / "events.csv")
        self.users = {row["user"]: row for row in read_rows(directory / "users.csv", "|")}
        self.items = {row["item"]: row for row in read_rows(directory / "items.csv")}
        self.split_of = split_of
        self.train = [event for event, split in zip(self.events, split_of, strict=True) if split == "train"]
        self.user_order = self._catalogue("user", self.users)
        self.item_order = self._catalogue("item", self.items)
        self.vocabulary = {
            "user": self._tokens([event["user"] for event in self.train]),
            "item": self._tokens([event["item"] for event in self.train], min_count=2),
            "city": self._tokens([self._user(event, "city") or "nowhere" for event in self.train]),
            "langs": self._tokens([token for event in self.train for token in self._langs(event["user"])]),
            "mood": self._tokens([event["mood"] for event in self.train]),
            "tags": self._tokens([token for event in self.train for token in self._tags(event["item"])])[:3],
            "labels": self._tokens([token for event in self.train for token in self._labels(event["item"])]),
            "device": self._tokens([event["device"] for event in self.train], min_count=12),
        }
        self.year = self._moments([self._item(event, "year") for event in self.train])
        self.spent = self._moments([_log(event["spent"]) for event in self.train])
        self.boundaries = self._quartiles([self._user(event, "age") for event in self.train])

    def _catalogue(self, key: str, table: dict[str, dict[str, str]]) -> list[str]:
        """Most events in training first, ties by id; behind them those of the table alone, by id."""
        count = Counter(event[key] for event in self.train)
        seen = sorted({event[key] for event in self.events}, key=lambda name: (-count[name], name))
        return seen + sorted(set(table) - set(seen))

    @staticmethod
    def _tokens(values: list[str], min_count: int = 1) -> list[str]:
        count = Counter(value for value in values if value)
        return sorted((v for v in count if count[v] >= min_count), key=lambda value: (-count[value], value))

    @staticmethod
    def _moments(values: list[object]) -> tuple[float, float]:
        numbers = [float(value) for value in values if value != ""]
        mean = sum(numbers) / len(numbers)
        return mean, math.sqrt(sum((number - mean) ** 2 for number in numbers) / len(numbers))

    @staticmethod
    def _quartiles(values: list[str]) -> list[float]:
        numbers = sorted(float(value) for value in values if value)
        found = []
        for quarter in (1, 2, 3):
            for number in numbers:
                if 4 * sum(other <= number for other in numbers) >= quarter * len(numbers):
                    found.append(number)
                    break
        return sorted(set(found) - {numbers[0]})

    def _user(self, event: dict[str, str], column: str) -> str:
        return self.users.get(event["user"], {}).get(column, "")

    def _item(self, event: dict[str, str], column: str) -> str:
        return self.items.get(event["item"], {}).get(column, "")

    def _langs(self, user: str) -> list[str]:
        return [token for token in self.users.get(user, {}).get("langs", "").split("/") if token]

    def _tags(self, item: str) -> list[str]:
        return [token for token in self.items.get(item, {}).get("tags", "").split(";") if token]

    def _labels(self, item: str) -> list[str]:
        return [flag for flag in ("fresh", "sale") if self.items.get(item, {}).get(flag) == "1"]

    def encode(self, feature: str, token: str, oov: int = 1) -> int:
        if token == "":
            return 0
        if token in self.vocabulary[feature]:
            return 1 + oov + self.vocabulary[feature].index(token)
        return 1 + int(tf.strings.to_hash_bucket_fast(token, oov))

    def user_features(self, user: str, mood: str) -> dict[str, object]:
        row = self.users.get(user, {"age": "", "city": "", "langs": ""})
        bucket = 0 if not row["age"] else 1 + sum(edge <= float(row["age"]) for edge in self.boundaries)
        return {
            "user": self.encode("user", user),
            "age": bucket,
            "city": self.encode("city", row["city"] or "nowhere", oov=3),
            "langs": _padded([self.encode("langs", token) for token in self._langs(user)[:2]], 2),
            "mood": self.encode("mood", mood),
        }

    def item_features(self, item: str, shelf: str) -> dict[str, object]:
        year = self.items.get(item, {}).get("year", "")
        mean, deviation = self.year
        return {
            "item": self.encode("item", item),
            "year": (float(year) - mean) / deviation if year else 0.0,
            "tags": _padded([self.encode("tags", token) for token in self._tags(item)], 16),
            "labels": _padded([self.encode("labels", token) for token in self._labels(item)], 16),
            "shelf": 1 + int(tf.strings.to_hash_bucket_fast(shelf, 5)) if shelf else 0,
        }

    def past(self, row: int) -> list[int]:
        """Rows of the events of the same user before this one: earlier, or at the same time and higher in the file."""
        me = self.events[row]
        before = [
            (int(other["when"]), at)
            for at, other in enumerate(self.events)
            if other["user"] == me["user"] and (int(other["when"]), at) < (int(me["when"]), row)
        ]
        return [at for _, at in sorted(before)]

    def seen(self, rows: list[int]) -> list[int]:
        return [row for row in rows if self.split_of[row] == "train"] if self.is_random else rows

    def record(self, row: int) -> dict[str, object]:
        event, past = self.events[row], self.past(row)
        mean, deviation = self.spent
        return {
            "user_index": self.user_order.index(event["user"]),
            "item_index": self.item_order.index(event["item"]),
            "event_position": len(past),
            "event_time_ms": int(event["when"]) * 1000,
            "label": 1.0 if float(event["stars"]) >= 4 else 0.0,
            **self.user_features(event["user"], event["mood"]),
            "past": _padded(
                [self.encode("item", self.events[at]["item"]) for at in self.seen(past)[-HISTORY:]], HISTORY
            ),
            **self.item_features(event["item"], event["shelf"]),
            "device": self.encode("device", event["device"]),
            "spent": 0.0 if event["spent"] == "" else (_log(event["spent"]) - mean) / deviation,
            "amount": float(event["amount"] or -1),
        }

    def in_time(self, rows: list[int]) -> list[int]:
        return sorted(rows, key=lambda row: (int(self.events[row]["when"]), row))

    def user_record(self, user: str) -> dict[str, object]:
        rows = self.in_time([row for row, event in enumerate(self.events) if event["user"] == user])
        mood = self.events[rows[-1]]["mood"] if rows else ""
        past = [self.encode("item", self.events[row]["item"]) for row in rows[-HISTORY:]]
        return {
            "user_index": self.user_order.index(user),
            "raw/user": user.encode(),
            **self.user_features(user, mood),
            "past": _padded(past, HISTORY),
        }

    def item_record(self, item: str) -> dict[str, object]:
        """What stands in the events is as of the last training event, or the last one where training has none."""
        rows = [row for row, event in enumerate(self.events) if event["item"] == item]
        rows = self.in_time([row for row in rows if self.split_of[row] == "train"] or rows)
        shelf = self.events[rows[-1]]["shelf"] if rows else ""
        name = self.items.get(item, {}).get("name", "")
        return {"raw/item": item.encode(), "raw/name": name.encode(), **self.item_features(item, shelf)}


def _log(text: str) -> float | str:
    return "" if text == "" else math.log(1 + float(text))


def _padded(values: list[int], width: int) -> list[int]:
    return values + [0] * (width - len(values))


def leave_one_out(events: list[dict[str, str]]) -> list[str]:
    """Last event of a user test, the one before validation; with fewer than three all train."""
    result = ["train"] * len(events)
    for user in {event["user"] for event in events}:
        mine = [row for row, event in enumerate(events) if event["user"] == user]
        mine.sort(key=lambda row: (int(events[row]["when"]), row))
        if len(mine) >= 3:
            result[mine[-2]], result[mine[-1]] = "validation", "test"
    return result


def temporal(events: list[dict[str, str]], validation: float, test: float) -> list[str]:
    """The cuts are the latest times from which on at least the share of the events lie."""
    times = [int(event["when"]) for event in events]

    def cut(share: float) -> int:
        return max(t for t in times if sum(other >= t for other in times) >= round(share * len(times), 6))

    from_validation, from_test = cut(validation + test), cut(test)
    return ["test" if t >= from_test else "validation" if t >= from_validation else "train" for t in times]
