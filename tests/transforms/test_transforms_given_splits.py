"""Papers' own splits, used as they are: real files where they are at hand, and parts of differing formats.

The real files are looked for in $TFREC_DATA, or ../shared/data beside the checkout.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.transforms.published_files import needs
from tests.transforms.published_splits import (
    CENSUS_YAML,
    CRITEO_COLUMNS,
    CRITEO_ITEM,
    CRITEO_PARTS,
    CRITEO_USER,
    FIRST_TOKEN,
    LENGTH,
    NCF_YAML,
    SEQUENCES_YAML,
    TOPN_YAML,
    criteo_yaml,
)
from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.errors import ConfigError
from tfrec.schema import SPLITS
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig


def rows_of(path: Path, separator: str | None = "\t") -> list[list[str]]:
    return [line.split(separator) for line in path.read_text().splitlines()]


class Written:
    """A dataset and its records, with ids as the log has them."""

    def __init__(self, yaml: str, directory: Path, output: Path) -> None:
        write_dataset(parse_config(yaml, DatasetConfig, source="dataset.yaml"), str(directory), str(output), [])
        self.dataset = DatasetDirectory(output)
        schema = self.dataset.schema
        self.records = {split: read_part(self.dataset, split) for split in SPLITS}
        users, items = read_part(self.dataset, "users"), read_part(self.dataset, "items")
        self.users = [token.decode() for token in users[f"raw/{schema.user_id}"].tolist()]
        self.items = [token.decode() for token in items[f"raw/{schema.item_id}"].tolist()]
        self.item_tokens = self.vocabulary(schema.item_id)

    def vocabulary(self, feature: str) -> list[str]:
        return (self.dataset.path / "vocabulary" / f"{feature}.txt").read_text().splitlines()

    def pairs(self, split: str) -> list[tuple[str, str]]:
        """(user, item) of every record."""
        columns = self.records[split]
        users = [self.users[index] for index in columns["user_index"].tolist()]
        return list(zip(users, [self.items[index] for index in columns["item_index"].tolist()], strict=True))

    def histories(self, split: str) -> list[list[str | None]]:
        """The items of every record's history; None for one out of vocabulary."""
        token = [None, None, *self.item_tokens]
        return [[token[i] for i in row if i] for row in self.records[split]["past"].tolist()]


def check_given_pairs(written: Written, parts: dict[str, list[tuple[str, str]]]) -> None:
    """Every pair is in its split and nowhere else, tables cover all, histories are the training events before."""
    events = written.dataset.manifest["rows"]["events"]
    assert (events["rows"], events["rejected"]) == (sum(map(len, parts.values())), 0)
    for split in SPLITS:
        assert Counter(written.pairs(split)) == Counter(parts.get(split, [])), split
    everything = [pair for pairs in parts.values() for pair in pairs]
    for names, there in (
        (written.users, {user for user, _ in everything}),
        (written.items, {item for _, item in everything}),
    ):
        assert len(names) == len(there)
        assert set(names) == there
    count = Counter(item for _, item in parts["train"])
    assert dict(zip(written.item_tokens, map(int, counts_of(written, "item")), strict=True)) == count
    trained: dict[str, list[str]] = defaultdict(list)
    for user, item in parts["train"]:
        trained[user].append(item)
    for (user, _), history in zip(written.pairs("test"), written.histories("test"), strict=True):
        assert history == trained[user][-LENGTH:]
    # No training history shows its user one of the user's test items.
    user_at = {user: at for at, user in enumerate(written.users)}
    id_of = {item: FIRST_TOKEN + at for at, item in enumerate(written.item_tokens)}
    tested = [(user_at[user], id_of[item]) for user, item in parts["test"] if item in id_of]
    columns = written.records["train"]
    size = len(written.item_tokens) + FIRST_TOKEN
    shown = np.unique((columns["user_index"][:, None] * size + columns["past"])[columns["past"] > 0])
    assert not np.isin([user * size + item for user, item in tested], shown).any()
    # And each tenth history is exactly what the file has before the event.
    at = np.arange(0, len(columns["label"]), 10)
    places, users, past = (columns[name][at].tolist() for name in ("event_position", "user_index", "past"))
    token = [None, None, *written.item_tokens]
    for place, user, ids in zip(places, users, past, strict=True):
        assert [token[i] for i in ids if i] == trained[written.users[user]][max(0, place - LENGTH) : place]


def counts_of(written: Written, feature: str) -> list[str]:
    return (written.dataset.path / "vocabulary" / f"{feature}.counts").read_text().split()


@pytest.mark.slow
def test_the_split_of_the_neural_collaborative_filtering_papers(tmp_path):
    train, test = needs("ml-1m-ncf/ml-1m.train.pairs.tsv", "ml-1m-ncf/ml-1m.test.rating")
    rows = {"train": rows_of(train), "test": rows_of(test)}
    assert (len(rows["train"]), len(rows["test"])) == (994_169, 6_040)
    written = Written(NCF_YAML, train.parent, tmp_path / "out")
    check_given_pairs(written, {split: [(row[0], row[1]) for row in rows[split]] for split in rows})
    for split in rows:
        labels = Counter(written.records[split]["label"].tolist())
        assert labels == Counter(float(row[2]) for row in rows[split])
    assert len(set(written.records["test"]["user_index"].tolist())) == 6_040  # one of each user


@pytest.mark.slow
def test_a_published_random_hold_out_whose_parts_have_other_columns(tmp_path):
    train, test = needs("ml-1m-topn/train.tsv", "ml-1m-topn/test.tsv")
    rows = {"train": rows_of(train), "test": rows_of(test)}
    assert (len(rows["train"]), len(rows["test"])) == (454_860, 116_671)
    written = Written(TOPN_YAML, train.parent, tmp_path / "out")
    check_given_pairs(written, {split: [(row[0], row[1]) for row in rows[split]] for split in rows})


@pytest.mark.slow
def test_published_sequences_without_times_are_left_one_out_in_the_order_of_the_file(tmp_path):
    [data] = needs("ml-1m-sequences/ml-1m.txt")
    sequences: dict[str, list[str]] = defaultdict(list)
    for user, item in rows_of(data, " "):
        sequences[user].append(item)
    assert sum(map(len, sequences.values())) == 999_611
    written = Written(SEQUENCES_YAML, data.parent, tmp_path / "out")
    assert set(written.users) == set(sequences)
    assert len(written.users) == 6_040
    assert set(written.items) == {item for items in sequences.values() for item in items}
    assert len(written.items) == 3_416
    trained = {item for items in sequences.values() for item in items[:-2]}
    assert set(written.item_tokens) == trained
    for split, back in (("validation", 2), ("test", 1)):
        expected = {}
        for user, items in sequences.items():
            past = items[: len(items) - back][-LENGTH:]
            expected[user] = (items[-back], [item if item in trained else None for item in past])
        found = {}
        for (user, item), history in zip(written.pairs(split), written.histories(split), strict=True):
            assert user not in found
            found[user] = (item, history)
        assert found == expected
    left = Counter((user, item) for user, items in sequences.items() for item in items[:-2])
    assert Counter(written.pairs("train")) == left


def test_census_income_has_its_published_shares_though_its_parts_write_the_label_differently(tmp_path):
    train, test = needs("census-income/adult.data", "census-income/adult.test")
    written = Written(CENSUS_YAML, train.parent, tmp_path / "out")
    ages = []
    for split, path, size in (("train", train, 32_561), ("test", test, 16_281)):
        header, *rows = rows_of(path, ", ")
        assert len(rows) == size
        place = {name: header.index(name) for name in ("age", "workclass", "occupation", "native-country", "Y")}
        kinds, columns = ["", "", *written.vocabulary("workclass")], written.records[split]
        found = zip(
            written.pairs(split), columns["label"].tolist(), columns["workclass"].tolist(), columns["age"].tolist()
        )
        if split == "train":
            ages = [float(row[place["age"]]) for row in rows]
            mean = sum(ages) / size
            deviation = math.sqrt(sum((age - mean) ** 2 for age in ages) / size)
        assert Counter(
            (*pair, label, kinds[kind], round(age * deviation + mean)) for pair, label, kind, age in found
        ) == (
            Counter(
                (
                    row[place["occupation"]],
                    row[place["native-country"]],
                    float(row[place["Y"]].startswith(">50K")),
                    row[place["workclass"]],
                    int(row[place["age"]]),
                )
                for row in rows
            )
        )
    assert sum(int(written.records[split]["label"].sum()) for split in SPLITS) == 7_841 + 3_846


def test_criteo_rows_without_a_header_and_with_missing_values(tmp_path):
    paths = dict(zip(CRITEO_PARTS, needs(*(f"criteo-sample/{file}" for file in CRITEO_PARTS.values())), strict=True))
    written = Written(criteo_yaml(), paths["train"].parent, tmp_path / "out")
    rows = {split: [dict(zip(CRITEO_COLUMNS, row, strict=True)) for row in rows_of(paths[split])] for split in SPLITS}
    assert {split: len(rows[split]) for split in SPLITS} == {"train": 7_200, "validation": 409, "test": 391}
    assert written.dataset.manifest["rejected"] == 0
    plain = [name for name in CRITEO_COLUMNS[14:] if name not in (CRITEO_USER, CRITEO_ITEM)]
    id_of = {}
    for name in plain:
        tokens = written.vocabulary(name)
        assert Counter(row[name] for row in rows["train"] if row[name]).keys() == set(tokens)
        id_of[name] = {"": 0} | {token: FIRST_TOKEN + at for at, token in enumerate(tokens)}
    moments = {}
    for name in CRITEO_COLUMNS[1:14]:
        known = [math.log1p(max(float(row[name]), 0)) for row in rows["train"] if row[name]]
        mean = sum(known) / len(known)
        moments[name] = mean, math.sqrt(sum((value - mean) ** 2 for value in known) / len(known))
    for split in SPLITS:
        columns = written.records[split]
        found = zip(written.pairs(split), columns["label"].tolist(), *(columns[name].tolist() for name in plain))
        expected = [
            (
                (row[CRITEO_USER], row[CRITEO_ITEM]),
                float(row["label"]),
                *(id_of[name].get(row[name], 1) for name in plain),
            )
            for row in rows[split]
        ]
        assert Counter(found) == Counter(expected)
        for name, (mean, deviation) in moments.items():
            values = [
                (math.log1p(max(float(row[name]), 0)) - mean) / deviation if row[name] else 0.0 for row in rows[split]
            ]
            assert sorted(columns[name].tolist()) == pytest.approx(sorted(values), abs=1e-4), name


GIVEN_SHARE_YAML = """\
name: shares
events:
  - {files: train.csv, header: false, columns: [user, item], split: train}
  - {files: test.csv, header: false, columns: [user, item], split: test}
features:
  user: {role: user, kind: categorical, id: true}
  item: {role: item, kind: categorical, id: true}
split: {strategy: given, validation: 0.25, seed: 3}
"""


def test_a_share_of_the_training_part_becomes_validation_where_a_paper_has_none(tmp_path):
    log = tmp_path / "in"
    log.mkdir()
    (log / "train.csv").write_text("".join(f"u{row % 7},i{row}\n" for row in range(2000)))
    (log / "test.csv").write_text("".join(f"u{row % 7},t{row}\n" for row in range(300)))
    split_of = []
    for overrides in ([], ["split.seed=4"], ["split.validation=0.4"], ["split.validation=0"]):
        config = parse_config(GIVEN_SHARE_YAML, DatasetConfig, overrides)
        output = tmp_path / f"out{len(split_of)}"
        write_dataset(config, str(log), str(output), [])
        dataset = DatasetDirectory(output)
        items = read_part(dataset, "items")["raw/item"]
        found = {split: {items[i] for i in read_part(dataset, split)["item_index"]} for split in SPLITS}
        assert found["test"] == {f"t{row}".encode() for row in range(300)}
        assert found["train"] | found["validation"] == {f"i{row}".encode() for row in range(2000)}
        split_of.append(found)
    first, other_seed, more, none = split_of
    assert len(first["validation"]) == pytest.approx(500, abs=60)
    assert len(first["validation"] & other_seed["validation"]) == pytest.approx(125, abs=40)
    assert first["validation"] < more["validation"]
    assert none["validation"] == set()


def test_a_share_and_a_part_for_validation_exclude_each_other():
    part = "  - {files: train.csv, header: false, columns: [user, item], split: train}\n"
    yaml = GIVEN_SHARE_YAML.replace(part, part + part.replace("train", "validation"))
    with pytest.raises(ConfigError, match="has a share for 'validation', and a part of 'events' says it too"):
        parse_config(yaml, DatasetConfig)


# Test is listed first and lies between training events in time; ann's two events of time 30 are one of each part.
TRAIN_CSV = """\
who;what;stars;when
ann;a;5;10
bob;b;1;20
ann;b;4;30
ann;c;3;50
bob;a;2;60
cid;"a;b";5;70
ann;a;1;80
"""
TEST_ROWS = [
    {"who": "ann", "what": "new", "stars": 5, "when": 30, "extra": [1]},
    {"who": "bob", "what": "c", "stars": 1.0, "when": 20},
    {"who": "dee", "what": "a", "stars": 4, "when": 5},
    {"who": "ann", "what": "b", "stars": 2, "when": 90},
    {"who": "bob", "what": "", "stars": 2, "when": 90},
]
MIXED_YAML = f"""\
name: mixed
events:
  - {{files: test.jsonl, format: jsonl, split: test}}
  - {{files: train.csv, delimiter: ";", split: train}}
features:
  user: {{role: user, kind: categorical, id: true, column: who}}
  past: {{role: user, kind: sequence, length: {LENGTH}}}
  liked: {{role: user, kind: sequence, length: {LENGTH}, labels: positive}}
  events_before: {{role: user, kind: numeric, so_far: user_events, standardize: false}}
  item: {{role: item, kind: categorical, id: true, column: what}}
  item_before: {{role: item, kind: numeric, so_far: item_events, standardize: false}}
  stars: {{role: context, kind: numeric}}
label: {{column: stars, threshold: 4}}
timestamp: {{column: when, unit: s}}
split: {{strategy: given}}
max_rejected_share: 0.2
"""


def mixed_events() -> list[dict]:
    """All usable events in the order of the config: the part listed first comes first."""
    events = [row | {"split": "test"} for row in TEST_ROWS if row["what"]]
    for row in csv.DictReader(TRAIN_CSV.splitlines(), delimiter=";"):
        events.append(row | {"split": "train", "stars": float(row["stars"]), "when": int(row["when"])})
    return events


def test_parts_of_differing_formats_go_to_the_splits_that_they_say(workshop):
    lines = "".join(json.dumps(row) + "\n" for row in TEST_ROWS)
    (workshop.input / "test.jsonl").write_text(lines)
    (workshop.input / "train.csv").write_text(TRAIN_CSV)
    written = Written(MIXED_YAML, workshop.input, workshop.output)
    rows = written.dataset.manifest["rows"]["events"]
    assert (rows["rows"], rows["accepted"], rows["rejected"]) == (12, 11, 1)
    [rejected] = (workshop.output / "rejected" / "events.jsonl").read_text().splitlines()
    assert (Path(json.loads(rejected)["file"]).name, json.loads(rejected)["line"]) == ("test.jsonl", 5)

    events = mixed_events()
    train = [event for event in events if event["split"] == "train"]
    assert set(written.item_tokens) == {event["what"] for event in train}
    assert set(written.vocabulary("user")) == {event["who"] for event in train}
    assert set(written.users) == {event["who"] for event in events}
    assert set(written.items) == {event["what"] for event in events}
    mean = sum(event["stars"] for event in train) / len(train)
    deviation = math.sqrt(sum((event["stars"] - mean) ** 2 for event in train) / len(train))

    expected: dict[str, list[tuple]] = {split: [] for split in SPLITS}
    for place, event in enumerate(events):
        before = []
        for other_place, other in enumerate(events):
            if other["who"] == event["who"] and (other["when"], other_place) < (event["when"], place):
                before.append((other["when"], other_place, other))
        before = [other for _, _, other in sorted(before, key=lambda found: found[:2])]
        expected[event["split"]].append(
            (
                (event["who"], event["what"]),
                event["when"] * 1000,
                float(event["stars"] >= 4),
                round((event["stars"] - mean) / deviation, 4),
                len(before),
                [other["what"] for other in before if other["split"] == "train"],
                [other["what"] for other in before if other["split"] == "train" and other["stars"] >= 4],
                len(before),  # counts see held-out events too
                sum(other["what"] == event["what"] and other["when"] < event["when"] for other in events),
            )
        )
    token = [None, None, *written.item_tokens]
    for split in SPLITS:
        columns = {name: values.tolist() for name, values in written.records[split].items()}
        found = zip(
            written.pairs(split),
            columns["event_time_ms"],
            columns["label"],
            (round(value, 4) for value in columns["stars"]),
            columns["event_position"],
            written.histories(split),
            [[token[i] for i in ids if i] for ids in columns["liked"]],
            columns["events_before"],
            columns["item_before"],
            strict=True,
        )
        assert sorted(found) == sorted(expected[split]), split
