"""`transforms.validate` and `transforms.statistics`: figures against plain loops over the rows, and against SciPy."""

from __future__ import annotations

import csv
import json
import random
import re
import subprocess
import sys
import zlib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from transforms.compare.comparison import compare_datasets
from transforms.compare.distances import (
    Cumulative,
    common_edges,
    jensen_shannon_divergence,
    linf_distance,
)
from transforms.compare.judge import judge
from transforms.compare.limits import Limits
from transforms.compare.schema_changes import schema_changes
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig
from transforms.steps.analyse import distribution

ROOT = Path(__file__).parents[2]
NASTY = "<script>alert(1)</script>"
YAML = """\
name: shop
events: {files: log.csv}
features:
  user: {role: user, kind: categorical, id: true}
  past: {role: user, kind: sequence, length: 5}
  item: {role: item, kind: categorical, id: true}
  name: {role: item, kind: text}
  device: {role: context, kind: categorical}
  rare: {role: context, kind: categorical, min_count: 3}
  tags: {role: context, kind: categorical, separator: "|"}
  shelf: {role: context, kind: categorical, hash_buckets: 7}
  age: {role: context, kind: numeric, buckets: 4}
  price: {role: context, kind: numeric, log: true}
label: {column: stars, threshold: 4}
timestamp: {column: when, unit: s}
split: {strategy: temporal, validation: 0, test: 0}  # every row is training: plain loops over the rows are the oracle
"""
COLUMNS = ("user", "item", "name", "device", "rare", "tags", "shelf", "age", "price", "stars", "when")


def rows_of(day, count=1500):
    """Day 1 has newer devices, other prices, more missing values and new items."""
    rng = random.Random(day)
    rows = []
    for number in range(count):
        item = rng.randrange(60) + 15 * day
        devices = ["phone", "desk", "$a$", NASTY] if day == 0 else ["phone", "phone", "desk", "watch", "tv"]
        rows.append(
            {
                "user": f"u{rng.randrange(80)}",
                "item": f"i{item}",
                "name": f"Item & number {item}",
                "device": "" if rng.random() < 0.02 + 0.1 * day else rng.choice(devices),
                "rare": f"r{int(rng.expovariate(0.05))}",
                "tags": "|".join(rng.sample("abcdef" if day == 0 else "abcdegh", rng.randrange(4 - day))),
                "shelf": f"s{rng.randrange(20 + 5 * day)}",
                "age": "" if rng.random() < 0.1 else str(rng.randint(18, 40 + 3 * day)),
                "price": f"{rng.lognormvariate(3 + 0.3 * day, 1):.3f}",
                "stars": str(rng.randint(1, 5)),
                "when": str(1_600_000_000 + 86_400 * day + number),
            }
        )
    return rows


def write(directory, rows, yaml=YAML):
    directory.mkdir(parents=True)
    with (directory / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    config = parse_config(yaml, DatasetConfig, source="dataset.yaml")
    write_dataset(config, str(directory), str(directory / "dataset"))
    return DatasetDirectory(directory / "dataset")


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    root = tmp_path_factory.mktemp("days")
    return [write(root / f"day{day}", rows_of(day, 1500 - 300 * day)) for day in (0, 1)]


@pytest.fixture(scope="module")
def drift(days):
    return {feature.name: feature for feature in compare_datasets(*days).features}


def command(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"transforms.{module}", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def cells(day, column):
    return [row[column] for row in rows_of(day, 1500 - 300 * day)]


def values(day, column):
    """The values of a column, as the rows have them."""
    if column == "tags":
        return [part for cell in cells(day, column) for part in cell.split("|") if part]
    return [cell for cell in cells(day, column) if cell]


def shares(counts, keys):
    total = sum(counts.values())
    return [counts[key] / total for key in keys]


# Distances.

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=30).filter(any)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_distances_agree_with_scipy_and_with_plain_loops(data):
    p = data.draw(COUNTS)
    q = data.draw(st.lists(st.integers(0, 1000), min_size=len(p), max_size=len(p)).filter(any))
    js = jensen_shannon_divergence(np.array(p), np.array(q))
    assert js == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
    plain = max(abs(a / sum(p) - b / sum(q)) for a, b in zip(p, q, strict=True))
    assert linf_distance(np.array(p), np.array(q)) == pytest.approx(plain)


@settings(deadline=None)
@given(COUNTS, st.integers(1, 50))
def test_a_distribution_is_at_no_distance_from_its_multiple(p, times):
    many = np.array(p) * times
    assert jensen_shannon_divergence(np.array(p), many) == pytest.approx(0, abs=1e-12)
    assert linf_distance(np.array(p), many) == pytest.approx(0, abs=1e-12)


def test_distributions_without_a_common_value_are_one_bit_apart():
    assert jensen_shannon_divergence(np.array([3, 1, 0, 0]), np.array([0, 0, 5, 2])) == pytest.approx(1.0)


SAMPLES = st.lists(st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 2)), min_size=1, max_size=900)


@settings(max_examples=60, deadline=None)
@given(SAMPLES)
def test_the_distribution_in_the_statistics_is_exact_at_its_points_and_fine_between_them(sample):
    distinct, weights = np.unique(np.array(sample) + 0.0, return_counts=True)
    found = distribution(distinct, weights)
    assert len(found["values"]) <= 257
    assert sum(found["counts"]) == len(sample)
    up_to = 0
    below = -np.inf
    for value, count in zip(found["values"], found["counts"], strict=True):
        up_to += count
        assert up_to == sum(x <= value for x in sample)
        assert sum(below < x < value for x in sample) <= len(sample) / 256 + 1
        below = value


def test_a_distribution_of_many_values_is_thinned():
    rng = np.random.default_rng(1)
    distinct, weights = np.unique(rng.normal(size=5000), return_counts=True)
    found = distribution(distinct, weights)
    assert len(found["values"]) == 257
    assert (found["values"][0], found["values"][-1]) == (distinct[0], distinct[-1])


@settings(max_examples=60, deadline=None)
@given(SAMPLES, SAMPLES)
def test_numbers_are_binned_alike_on_both_sides_and_lose_nothing(one, other):
    sides = [Cumulative(*np.unique(np.array(side) + 0.0, return_counts=True)) for side in (one, other)]
    edges = common_edges(*sides)
    assert len(edges) <= 32
    for side, sample in zip(sides, (one, other), strict=True):
        plain = [
            sum(low < x <= high for x in sample) / len(sample)
            for low, high in zip([-np.inf, *edges], edges, strict=False)
        ]
        assert side.shares_between(edges) == pytest.approx(plain)
        assert sum(plain) == pytest.approx(1)


# Figures of two days, against plain loops over their rows.


@pytest.mark.parametrize("feature", ["user", "item", "device", "tags", "age"])
def test_drift_of_a_feature_whose_values_are_all_kept(feature, drift):
    counts = [Counter(values(day, feature)) for day in (0, 1)]
    keys = sorted(counts[0] | counts[1])
    p, q = (shares(count, keys) for count in counts)
    assert drift[feature].linf == pytest.approx(max(abs(a - b) for a, b in zip(p, q, strict=True)))
    assert drift[feature].js == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert drift[feature].js > 0.001


def test_drift_of_rare_tokens_puts_them_together(drift):
    counts = []
    for day in (0, 1):
        of_day = Counter(values(day, "rare"))
        kept = Counter({token: count for token, count in of_day.items() if count >= 3})
        kept["(other)"] = sum(count for count in of_day.values() if count < 3)
        counts.append(kept)
    assert counts[0]["(other)"] > 0
    p, q = (shares(count, sorted(counts[0] | counts[1])) for count in counts)
    assert drift["rare"].js == pytest.approx(jensenshannon(p, q, base=2) ** 2)


def test_drift_of_a_hashed_feature_is_that_of_its_token_buckets(drift):
    counts = [Counter(zlib.crc32(value.encode()) % 64 for value in values(day, "shelf")) for day in (0, 1)]
    p, q = (shares(count, range(64)) for count in counts)
    assert drift["shelf"].js == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert drift["shelf"].js > 0.01


def test_drift_of_a_number_with_many_values_is_that_of_its_rows_to_a_256th(days, drift):
    sides = [
        Cumulative(found["values"], found["counts"])
        for found in (day.statistics["features"]["price"]["distribution"] for day in days)
    ]
    edges = common_edges(*sides)
    assert len(edges) == 32
    plain = []
    for day in (0, 1):
        prices = [float(np.float32(value)) for value in values(day, "price")]
        assert len(set(prices)) > 256
        plain.append(
            [
                sum(low < price <= high for price in prices) / len(prices)
                for low, high in zip([-np.inf, *edges], edges, strict=False)
            ]
        )
    linf = max(abs(a - b) for a, b in zip(*plain, strict=True))
    assert drift["price"].linf == pytest.approx(linf, abs=2 / 256)
    assert drift["price"].js == pytest.approx(jensenshannon(*plain, base=2) ** 2, abs=0.01)
    assert drift["price"].js > 0.01


@pytest.mark.parametrize("feature", ["user", "item", "device", "tags"])
def test_new_and_vanished_values(feature, drift):
    old, new = Counter(values(0, feature)), Counter(values(1, feature))
    appeared = {token: count for token, count in new.items() if token not in old}
    vanished = {token: count for token, count in old.items() if token not in new}
    found = drift[feature]
    assert (found.new_tokens, found.vanished_tokens) == (len(appeared), len(vanished))
    assert found.new_value_share == pytest.approx(sum(appeared.values()) / sum(new.values()))
    assert found.vanished_value_share == pytest.approx(sum(vanished.values()) / sum(old.values()))
    assert set(found.new_examples) <= set(appeared)
    assert len(found.new_examples) == min(len(appeared), 5)


@pytest.mark.parametrize("feature", ["user", "device", "tags", "shelf", "age", "price"])
def test_missing_shares_also_of_lists(feature, drift):
    for day, found in enumerate((drift[feature].missing_share_a, drift[feature].missing_share_b)):
        of_day = cells(day, feature)
        assert found == pytest.approx(sum(cell == "" for cell in of_day) / len(of_day))
    assert drift["tags"].missing_share_a > 0.1


def test_splits_have_rows_labels_and_times(days):
    train, validation, _ = compare_datasets(*days).splits
    stars = [[int(row) for row in cells(day, "stars")] for day in (0, 1)]
    assert (train.rows_a, train.rows_b) == (1500, 1200)
    assert train.label_mean_a == pytest.approx(sum(s >= 4 for s in stars[0]) / 1500)
    assert train.label_mean_b == pytest.approx(sum(s >= 4 for s in stars[1]) / 1200)
    assert train.last_time_ms_b == 1000 * max(int(time) for time in cells(1, "when"))
    assert (validation.rows_a, validation.label_mean_a) == (0, None)


# Schemas.


def schema(yaml):
    return parse_config(yaml, DatasetConfig).schema_of()


def test_every_kind_of_schema_change_is_named():
    other = (
        YAML.replace("  rare: {role: context, kind: categorical, min_count: 3}\n", "")
        .replace("age: {role: context, kind: numeric, buckets: 4}", "age: {role: context, kind: categorical}")
        .replace("device: {role: context,", "device: {role: user,")
        .replace("  price:", "  colour: {role: item, kind: categorical}\n  price:")
        .replace("threshold: 4", "threshold: 3")
        .replace("length: 5", "length: 6")
        .replace("test: 0}", "test: 0.1}")
    )
    assert schema_changes(schema(YAML), schema(other)) == (
        "feature 'rare' removed",
        "feature 'colour' added",
        "feature 'past': length 5 → 6",
        "feature 'device': role context → user",
        "feature 'age': kind numeric → categorical",
        "label: threshold 4.0 → 3.0",
        "split: test 0.0 → 0.1",
    )


def test_crosses_targets_and_kept_negatives_are_compared():
    one = YAML + "crosses: {a: {of: [device, age]}, b: {of: [device, rare]}}\ntargets: {t: {column: stars}}\n"
    other = YAML + (
        "crosses: {a: {of: [device, age], hash_buckets: 7}, c: {of: [device, rare]}}\n"
        "targets: {t: {column: stars, threshold: 2}}\nfilters: {keep_negatives: {share: 0.5}}\n"
    )
    assert schema_changes(schema(one), schema(other)) == (
        "cross 'b' removed",
        "cross 'c' added",
        "cross 'a': hash_buckets 10000 → 7",
        "target 't': threshold none → 2.0",
        "kept_negatives: all → 0.5",
    )
    assert schema_changes(schema(one), schema(one)) == ()


def test_the_name_and_the_order_of_features_are_no_changes():
    lines = YAML.splitlines(keepends=True)
    swapped = "".join([*lines[:7], lines[8], lines[7], *lines[9:]]).replace("name: shop", "name: other")
    assert swapped != YAML
    assert schema_changes(schema(YAML), schema(swapped)) == ()
    assert schema(YAML).fingerprint == schema(swapped).fingerprint


def test_another_schema_is_above_the_limits_unless_allowed(days, tmp_path):
    yaml = YAML.replace("  device: {role: context, kind: categorical}\n", "").replace("buckets: 4", "buckets: 5")
    other = write(tmp_path / "other", rows_of(0), yaml)
    comparison = compare_datasets(days[0], other)
    found = [(item.limit, item.value) for item in judge(comparison, Limits())]
    assert found == [
        ("allow_schema_changes", "feature 'device' removed"),
        ("allow_schema_changes", "feature 'age': buckets 4 → 5"),
    ]
    assert judge(comparison, Limits(allow_schema_changes=True)) == []


# Limits.

LIMITED = {
    "max_new_value_share": ("device", "new_value_share"),
    "max_new_item_share": ("item", "new_value_share"),
    "max_linf": ("device", "linf"),
    "max_js": ("device", "js"),
    "max_id_js": ("item", "js"),
}
ALL_OFF = {
    "max_new_value_share": 1,
    "max_new_item_share": 1,
    "max_new_user_share": 1,
    "max_linf": 1,
    "max_js": 1,
    "max_id_js": 1,
    "max_missing_share_change": 1,
    "max_label_rate_change": 1,
    "max_row_change": 1,
}


@pytest.mark.parametrize("limit", LIMITED)
def test_a_figure_at_its_limit_passes_and_above_it_fails(limit, days, drift):
    feature, figure = LIMITED[limit]
    value = getattr(drift[feature], figure)
    comparison = compare_datasets(*days)

    def failing(allowed):
        limits = Limits(**{**ALL_OFF, limit: allowed})
        return [item for item in judge(comparison, limits) if item.where == feature]

    assert failing(value) == []
    [item] = failing(value - 1e-9)
    assert (item.limit, item.value) == (limit, value)


def test_rows_labels_and_missing_values_have_limits(days, drift):
    comparison = compare_datasets(*days)
    train = comparison.splits[0]
    figures = {
        "max_row_change": ("train", 1 - 1200 / 1500),
        "max_label_rate_change": ("train", abs(train.label_mean_b - train.label_mean_a)),
        "max_missing_share_change": ("device", abs(drift["device"].missing_share_b - drift["device"].missing_share_a)),
    }
    for limit, (where, value) in figures.items():
        for allowed, expected in ((value * 1.01, []), (value * 0.99, [(limit, where)])):
            found = judge(comparison, Limits(**{**ALL_OFF, limit: allowed}))
            assert [(item.limit, item.where) for item in found if item.where == where] == expected


def test_a_skipped_feature_is_not_judged(days):
    found = judge(compare_datasets(*days), Limits(skip_features=("device", "item")))
    assert not {"device", "item"} & {item.where for item in found}


# The command.


def test_a_dataset_is_within_all_limits_of_itself_at_zero(days):
    zero = [f"--set={name}=0" for name in ALL_OFF]
    done = command("validate", days[0].path, days[0].path, *zero)
    assert done.returncode == 0, done.stderr
    assert "within all limits" in done.stderr
    assert done.stdout == ""


def test_drift_exits_with_1_names_each_limit_and_prints_json(days, tmp_path):
    limits = tmp_path / "limits.yaml"
    limits.write_text("max_linf: 0.9\nmax_js: 0.3\n")
    done = command("validate", days[0].path, days[1].path, "--limits", limits, "--set", "max_js=0.05", "--json")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["limits"]["max_linf"] == 0.9
    assert result["limits"]["max_js"] == 0.05
    assert result["within_limits"] is False
    by_hand = {
        ("max_new_value_share", f["name"])
        for f in result["features"]
        if not f["is_id"] and (f["new_value_share"] or 0) > 0.1
    } | {("max_js", f["name"]) for f in result["features"] if not f["is_id"] and (f["js"] or 0) > 0.05}
    found = {(item["limit"], item["where"]) for item in result["exceeded"]}
    assert by_hand <= found
    assert ("max_new_value_share", "device") in by_hand
    assert ("max_js", "device") in by_hand
    table = done.stderr.partition("Above the limits")[2]
    for limit, where in found:
        assert re.search(rf"│ {where} +│ {limit} ", table), (limit, where)
    summary = done.stderr.rstrip().splitlines()[-1]
    assert summary.startswith(f"{days[1].path}: {len(found)} figures are above their limits (")


def test_mistakes_are_one_line_and_exit_code_2(days, tmp_path):
    a, b = days[0].path, days[1].path
    for arguments, expected in (
        ((a, tmp_path), "ArtifactError: .*not a dataset"),
        ((a, b, "--set", "max_jss=1"), "ConfigError: .*unknown key 'max_jss'; did you mean 'max_js'?"),
        ((a, b, "--set", "max_js=2"), "ConfigError: .*max_js: got 2"),
        ((a, b, "--set", "skip_features=[devise]"), "ConfigError: .*'devise'.*did you mean 'device'?"),
        ((a, b, "--limits", tmp_path / "none.yaml"), "ConfigError: .*none.yaml: cannot be read"),
        ((a,), "ConfigError: .*required: B"),
        ((a, b, "--html", tmp_path / "no" / "page.html"), "ConfigError: --html .*cannot be written"),
    ):
        done = command("validate", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert re.fullmatch(expected + ".*", done.stderr.splitlines()[-1])
        assert "Traceback" not in done.stderr


# The pages.


class Page(HTMLParser):
    """What a browser would load, the headings, and whether every element is closed."""

    VOID = {"meta", "br", "link", "img", "hr", "input"}

    def __init__(self, text):
        super().__init__()
        self.loads, self.tags, self.headings, self.text = [], Counter(), [], []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                self.loads.append(value)
            self.loads += re.findall(r"url\(([^)]*)\)", value or "")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        self.loads += re.findall(r"url\(([^)]*)\)|@import", data)
        if self._open and self._open[-1] == "h3":
            self.headings.append(data)


@pytest.fixture(scope="module")
def pages(days, tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    one = command("statistics", days[0].path, "--html", root / "one.html")
    two = command("validate", days[0].path, days[1].path, "--html", root / "two.html")
    assert (one.returncode, two.returncode) == (0, 1), one.stderr + two.stderr
    return {name: (root / f"{name}.html").read_text() for name in ("one", "two")}


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_page_needs_no_other_file_and_has_every_feature(name, pages, days):
    page = Page(pages[name])
    assert page.loads
    assert all(target.startswith("#") for target in page.loads), page.loads
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert page.headings == list(days[0].schema.features)
    plotted = len(["user", "item", "device", "rare", "tags", "age", "price"])
    assert page.tags["svg"] == plotted + len(["popularity of items", "events per user"])


def test_what_the_log_says_is_text_in_the_page_and_not_markup(pages):
    page = Page(pages["one"])
    assert NASTY[:17] + "…" in [text.strip() for text in page.text]
    assert "$a$" in [text.strip() for text in page.text]


def test_new_values_in_the_verdict_are_text_too(days, tmp_path):
    done = command("validate", days[1].path, days[0].path, "--html", tmp_path / "page.html")
    assert done.returncode == 1, done.stderr
    page = Page((tmp_path / "page.html").read_text())
    assert any("2 new: " in text and NASTY in text and "$a$" in text for text in page.text)
    assert page.tags["script"] == 0


def test_the_page_of_one_dataset_shows_its_figures(pages):
    text = " ".join(" ".join(Page(pages["one"]).text).split())
    missing = sum(cell == "" for cell in cells(0, "device")) / 1500
    assert f"missing {missing:.2%}" in text
    assert "train 1,500" in text


def test_the_page_of_two_shows_the_verdict_and_both_sides(pages, days):
    text = " ".join(" ".join(Page(pages["two"]).text).split())
    exceeded = judge(compare_datasets(*days), Limits())
    assert f"{len(exceeded)} figures above the limits" in text
    assert "train A 1,500" in text
    assert "B 1,200" in text
    assert pages["two"].count('class="card exceeded"') == len(
        {item.where for item in exceeded} - {"schema", "train", "validation", "test"}
    )


def test_the_same_datasets_give_the_same_page(days, tmp_path, pages):
    command("statistics", days[0].path, "--html", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == pages["one"]


def test_statistics_of_no_dataset_is_one_line_and_exit_code_2(tmp_path):
    done = command("statistics", tmp_path, "--html", tmp_path / "page.html")
    assert done.returncode == 2
    assert re.fullmatch(r"ArtifactError: .*not a dataset.*\n", done.stderr)


def test_the_template_is_part_of_the_package(tmp_path):
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "transforms/page/page.html").read_bytes() == (ROOT / "transforms/page/page.html").read_bytes()
