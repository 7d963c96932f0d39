"""`transforms.validate` and `transforms.statistics`: figures against plain loops over the rows, and against SciPy."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from tests.transforms.two_days import YAML, cells, command, rows_of, write
from tfrec.config_file import parse_config
from transforms.compare.comparison import compare_datasets
from transforms.compare.distances import (
    Cumulative,
    common_edges,
)
from transforms.compare.judge import judge
from transforms.compare.limits import Limits
from transforms.compare.schema_changes import schema_changes
from transforms.dataset_config import DatasetConfig


@pytest.fixture(scope="module")
def drift(days):
    return {feature.name: feature for feature in compare_datasets(*days).features}


def values(day, column):
    """The values of a column, as the rows have them."""
    if column == "tags":
        return [part for cell in cells(day, column) for part in cell.split("|") if part]
    return [cell for cell in cells(day, column) if cell]


def shares(counts, keys):
    total = sum(counts.values())
    return [counts[key] / total for key in keys]


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
