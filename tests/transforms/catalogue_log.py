"""A small log with vectors, weights, targets and crosses, and what its rows should be encoded to: plain loops."""

import csv
import json
import random

NUMBERS_YAML = """\
name: numbers
events: {files: events.jsonl, format: jsonl}
users: {files: users.csv}
items: {files: items.csv, delimiter: ";"}
features:
  user: {role: user, kind: categorical, id: true}
  taste: {role: user, kind: vector, length: 3, separator: " "}
  mood: {role: user, kind: vector, length: 2, list: true}
  item: {role: item, kind: categorical, id: true}
  picture: {role: item, kind: vector, length: 4, separator: ","}
  tags: {role: item, kind: categorical, separator: "|", max_values: 3}
  tag_weights: {role: item, kind: weights, of: tags, separator: "|"}
  words: {role: context, kind: categorical, list: true, max_values: 4, hash_buckets: 50}
  word_weights: {role: context, kind: weights, of: words, list: true}
  hour: {role: context, kind: numeric, buckets: 3}
label: {column: clicked, threshold: 1}
targets:
  like: {column: liked, values: ["yes", very]}
  seconds: {column: watched}
  long: {column: watched, threshold: 30}
crosses:
  hour_x_tags: {of: [hour, tags], hash_buckets: 40}
timestamp: {column: when}
split: {strategy: leave_one_out}
"""
TOKENS = ("red", "green", "blue", "")


def _some(rng, count):
    return [round(rng.uniform(-2, 2), 3) for _ in range(count)]


def _weighed(rng, most):
    """Values, empty ones among them, and weights of the first of them."""
    tokens = [rng.choice(TOKENS) for _ in range(rng.randrange(most + 1))]
    return tokens, [rng.choice([0, 0.5, 2, 1.25]) for _ in range(rng.randrange(len(tokens) + 1))]


def write_catalogue_log(directory, seed=3):
    """Write the log; return (users, items, events) as dictionaries of raw values."""
    rng = random.Random(seed)
    users = [{"user": f"u{n}", "taste": " ".join(map(str, _some(rng, 3))) if n % 3 else ""} for n in range(10)]
    items = []
    for number in range(9):
        tokens, weights = _weighed(rng, 5)
        cell = "|".join(tokens)
        picture = f"[{', '.join(map(str, _some(rng, 4)))}]" if number % 4 else ""
        items.append(
            {
                "item": f"i{number}",
                "picture": picture,
                "tags": cell,
                "tag_weights": "|".join(map(str, weights)) if cell else "",
            }
        )
    events = []
    for row in range(150):
        words, weights = _weighed(rng, 6)
        events.append(
            {
                "user": f"u{rng.randrange(12)}",  # two that the table lacks
                "item": f"i{rng.randrange(11)}",
                "mood": _some(rng, 2) if rng.random() < 0.7 else None,
                "words": words,
                "word_weights": [None if weight == 0.5 else weight for weight in weights],
                "hour": rng.randrange(24),
                "clicked": int(rng.random() < 0.3),
                "liked": rng.choice(["yes", "no", "very", ""]),
                "watched": rng.choice([None, 10, 30, 45.5]),
                "when": 1_600_000_000 + row,
            }
        )
    for name, rows, delimiter in (("users", users, ","), ("items", items, ";")):
        with (directory / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    (directory / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return {row["user"]: row for row in users}, {row["item"]: row for row in items}, events


def plain_vector(text, length):
    numbers = [float(part) for part in text.strip("[]").replace(",", " ").split()] if isinstance(text, str) else text
    return list(numbers) if numbers else [0.0] * length


def plain_weights(tokens, weights, width):
    """The weights of the first values that are not empty: 1 where none is given, 0 behind the last value."""
    found = []
    for place, token in enumerate(tokens):
        if token:
            weight = weights[place] if place < len(weights) else None
            found.append(1.0 if weight is None else float(weight))
    return (found + [0.0] * width)[:width]


def plain_target(event, name):
    if name == "like":
        return {"": None, "no": 0.0}.get(event["liked"], 1.0)
    if event["watched"] is None:
        return None
    return float(event["watched"]) if name == "seconds" else float(event["watched"] >= 30)


def positions(events):
    """(user, position) → event; the log is in order of time."""
    seen, found = {}, {}
    for event in events:
        place = seen.get(event["user"], 0)
        seen[event["user"]] = place + 1
        found[event["user"], place] = event
    return found
