"""Down-sampled negatives: which records are written, what still sees all events, and what is counted."""

import csv
import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from tests.transforms.conftest import Workshop
from tfrec.dataset.records import read_part
from tfrec.errors import ConfigError
from tfrec.schema import SPLITS
from transforms.base.load import load_base
from transforms.filters import KeepNegatives
from transforms.page.write import write_page
from transforms.steps.negatives import LEFT_OUT, written_rows
from transforms.steps.split import TRAIN

CLICKS_YAML = """\
name: clicks
events: {files: events.csv}
features:
  user: {role: user, kind: categorical, id: true}
  past: {role: user, kind: sequence, length: 4}
  item: {role: item, kind: categorical, id: true}
  place: {role: context, kind: numeric}
label: {column: clicked, threshold: 1}
timestamp: {column: when}
split: {strategy: random, validation: 0.1, test: 0.2, seed: 1}
"""
KEEP = "filters.keep_negatives={share: 0.25, seed: 1}"
EVENTS = 4000


def write_clicks(directory):
    rng = random.Random(5)
    with (directory / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "item", "place", "clicked", "when"])
        for row in range(EVENTS):
            clicked = int(rng.random() < 0.2)
            writer.writerow(
                [f"u{rng.randrange(60)}", f"i{rng.randrange(40)}", rng.random(), clicked, 1_600_000_000 + row]
            )


@pytest.fixture(scope="module")
def whole_and_kept(tmp_path_factory):
    found = []
    for name, overrides in (("whole", []), ("kept", [KEEP])):
        workshop = Workshop(tmp_path_factory.mktemp("clicks") / name)
        write_clicks(workshop.input)
        workshop.run(CLICKS_YAML, overrides)
        found.append(workshop.dataset)
    return found


def by_event(records):
    """(user, position) → the whole record."""
    keys = zip(records["user_index"].tolist(), records["event_position"].tolist(), strict=True)
    rows = zip(*(values.tolist() for values in records.values()), strict=True)
    return {key: str(row) for key, row in zip(keys, rows, strict=True)}


def test_only_negatives_of_training_are_left_out_and_about_the_share_stays(whole_and_kept):
    whole, kept = ({split: read_part(of, split) for split in SPLITS} for of in whole_and_kept)
    for split in ("validation", "test"):
        assert by_event(whole[split]) == by_event(kept[split])
    labels, kept_labels = (Counter(of["train"]["label"].tolist()) for of in (whole, kept))
    assert kept_labels[1.0] == labels[1.0] > 500
    spread = (labels[0.0] * 0.25 * 0.75) ** 0.5
    assert abs(kept_labels[0.0] - 0.25 * labels[0.0]) < 3 * spread


def test_a_record_that_stays_is_the_same_with_all_of_its_history(whole_and_kept):
    whole, kept = (by_event(read_part(of, "train")) for of in whole_and_kept)
    assert kept.items() <= whole.items()
    for part in ("users", "items"):
        one, other = (read_part(of, part) for of in whole_and_kept)
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_statistics_describe_all_events_and_the_manifest_counts_those_left_out(whole_and_kept):
    whole, kept = whole_and_kept
    assert whole.statistics["features"] == kept.statistics["features"]
    figures = kept.statistics["splits"]["train"]
    assert figures["label_mean"] == whole.statistics["splits"]["train"]["label_mean"]
    assert (figures["rows"], figures["records"]) == (whole.rows("train"), kept.rows("train"))
    rows = kept.manifest["rows"]["events"]
    assert rows["reasons"] == {LEFT_OUT: whole.rows("train") - kept.rows("train")}
    assert rows["accepted"] == sum(kept.rows(split) for split in SPLITS)
    assert rows["accepted"] + rows["rejected"] == rows["rows"] == EVENTS


def test_the_page_of_statistics_says_how_many_events_are_written(whole_and_kept, tmp_path):
    for dataset, is_said in zip(whole_and_kept, (False, True), strict=True):
        write_page(tmp_path / "page.html", [dataset])
        page = (tmp_path / "page.html").read_text()
        assert (f"({dataset.rows('train'):,} written)" in page) == is_said


def test_models_read_the_share_in_the_schema(whole_and_kept):
    whole, kept = whole_and_kept
    assert (whole.schema.kept_negatives, kept.schema.kept_negatives) == (None, 0.25)


def test_what_is_kept_depends_on_place_and_seed_and_not_on_the_split_of_the_same_seed(whole_and_kept):
    """A hash that also chose the split would keep more or less of what that left to training."""
    source = pa.array(np.arange(20_000))
    events = pa.table({"__source__": source, "label": pa.array(np.zeros(20_000, np.float32))})
    train = np.full(20_000, TRAIN, np.int8)
    one = written_rows(events, train, KeepNegatives(share=0.3, seed=1))
    assert (one == written_rows(events, train, KeepNegatives(share=0.3, seed=1))).all()
    other = written_rows(events, train, KeepNegatives(share=0.3, seed=2))
    assert one.mean() == pytest.approx(0.3, abs=0.015)
    assert (one & other).mean() == pytest.approx(0.09, abs=0.01)
    assert one[written_rows(events, train, KeepNegatives(share=0.2, seed=1))].all()  # a smaller share is part of it
    assert written_rows(events, train + 1, KeepNegatives(share=0.3)).all()
    assert written_rows(events, train, None).all()


def test_without_labels_there_are_no_negatives_to_leave_out(workshop):
    write_clicks(workshop.input)
    with pytest.raises(ConfigError, match="without a 'label' there are no negatives"):
        workshop.run(CLICKS_YAML, [KEEP, "label=null"])


def test_a_base_may_have_kept_another_share(whole_and_kept, tmp_path):
    """Ids do not depend on it; here that the config is not refused."""
    whole, kept = whole_and_kept
    assert load_base(str(whole.path), kept.schema).fingerprint == whole.fingerprint
