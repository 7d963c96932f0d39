"""A small log whose texts have words of many scripts, and what its words should be encoded to: plain loops."""

import csv
import random
from collections import Counter

from tests.tfrec.test_tfrec_text_tokens import bucket_of, plain_words

TEXT_YAML = """\
name: texts
events: {files: events.csv}
users: {files: users.csv}
items: {files: items.csv}
features:
  user: {role: user, kind: categorical, id: true}
  about: {role: user, kind: text, tokens: {max_tokens: 3, min_count: 4}}
  mood: {role: user, kind: text, tokens: {max_tokens: 2, hash_buckets: 7}}
  past: {role: user, kind: sequence, length: 3}
  item: {role: item, kind: categorical, id: true}
  title: {role: item, kind: text, tokens: {max_tokens: 4, num_oov_indices: 2}}
  blurb: {role: item, kind: text, tokens: {max_size: 2, max_tokens: 3}}
  shown: {role: item, kind: text}
  query: {role: context, kind: text, tokens: {max_tokens: 3}}
label: {column: stars, threshold: 1}
timestamp: {column: when}
split: {strategy: leave_one_out}
"""
OPTIONS = {  # feature → (max_tokens, min_count, max_size, num_oov_indices)
    "about": (3, 4, None, 1),
    "title": (4, 1, None, 2),
    "blurb": (3, 1, 2, 1),
    "query": (3, 1, None, 1),
}
SOME_TEXTS = [
    *("The BEST lamp, ever", "Straße Nr. 7", "İstanbul çay", "日本語 テキスト", "😀 lamp 👍🏽", "?!…", ""),
    *("ΟΔΟΣ lamp LAMP", "e\u0301tude étude ÉTUDE", "a b c d e f", 'quoted "lamp"', "it’s 2nd x²"),
]


def write_text_log(directory, seed=4):
    """Write the log; return its events, what users say about themselves and the titles of items."""
    rng = random.Random(seed)
    people = [{"user": f"u{n}", "about": rng.choice(SOME_TEXTS)} for n in range(12)]
    things = [{"item": f"i{n}", "title": rng.choice(SOME_TEXTS), "shown": f"thing {n}"} for n in range(10)]
    events = [
        {
            "user": f"u{rng.randrange(14)}",  # two that no table has
            "item": f"i{min(int(rng.expovariate(0.3)), 11)}",
            "stars": rng.choice("01"),
            "when": 1_600_000_000 + row,
            **{name: rng.choice(SOME_TEXTS) for name in ("mood", "blurb", "query")},
        }
        for row in range(160)
    ]
    for name, rows in (("users", people), ("items", things), ("events", events)):
        with (directory / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return (
        events,
        {row["user"]: row["about"] for row in people},
        {row["item"]: row["title"] for row in things},
    )


def plain_features(log):
    """(user, position) → (split, raw texts) of each event; users' events are in order already."""
    events, about, titles = log
    totals, seen, found = Counter(event["user"] for event in events), Counter(), {}
    for event in events:
        position, total = seen[event["user"]], totals[event["user"]]
        seen[event["user"]] += 1
        from_end = total - 1 - position if total >= 3 else 9
        split = {0: "test", 1: "validation"}.get(from_end, "train")
        texts = {name: event[name] for name in ("mood", "blurb", "query")}
        texts |= {"about": about.get(event["user"], ""), "title": titles.get(event["item"], "")}
        found[event["user"], position] = split, texts
    return found


def plain_vocabulary(features, name):
    width, min_count, max_size, _ = OPTIONS[name]
    train = [texts[name] for split, texts in features.values() if split == "train"]
    counts = Counter(word for text in train for word in plain_words(text)[:width])
    words = sorted((w for w in counts if counts[w] >= min_count), key=lambda w: (-counts[w], w.encode()))
    return words[:max_size], counts


def plain_ids(name, text, vocabulary):
    if name == "mood":
        ids, width = [1 + bucket_of(word, 7) for word in plain_words(text)[:2]], 2
    else:
        width, _, _, oov = OPTIONS[name]
        ids = [
            1 + oov + vocabulary.index(word) if word in vocabulary else 1 + bucket_of(word, oov)
            for word in plain_words(text)[:width]
        ]
    return ids + [0] * (width - len(ids))
