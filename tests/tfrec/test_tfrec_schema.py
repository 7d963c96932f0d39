"""The schema: identity, what it refuses, and that it survives the file."""

import json

import pytest
from pydantic import ValidationError

from tfrec.config_file import parse_config
from tfrec.errors import ArtifactError, ConfigError, SchemaError
from tfrec.schema import REQUEST_NAMES, RESERVED_NAMES, Schema

PLAIN = """
name: shop
features:
  customer: {role: user, kind: categorical, id: true}
  age: {role: user, kind: numeric}
  recent: {role: user, kind: sequence, length: 7}
  article: {role: item, kind: categorical, id: true}
  title: {role: item, kind: text}
  tags: {role: item, kind: categorical, separator: ";", max_values: 3}
  hour: {role: context, kind: categorical, hash_buckets: 24}
label: {column: stars, threshold: 4}
timestamp: {column: at, unit: ms}
split: {strategy: temporal, validation: 0.2, test: 0.05}
"""


def schema(*overrides):
    return parse_config(PLAIN, Schema, overrides)


def test_saving_and_loading_gives_the_same_schema(tmp_path):
    schema().save(tmp_path / "schema.json")
    loaded = Schema.load(tmp_path / "schema.json")
    assert loaded == schema()
    assert loaded.fingerprint == schema().fingerprint


def test_names_are_found_by_role_and_kind():
    found = schema()
    assert (found.user_id, found.item_id, found.history) == ("customer", "article", "recent")
    assert list(found.of_role("user", "context")) == ["customer", "age", "recent", "hour"]
    assert list(found.encoded) == ["customer", "age", "recent", "article", "tags", "hour"]
    assert list(found.display) == ["title"]


@pytest.mark.parametrize(
    "change",
    [
        "features.age.log=true",
        "features.age.standardize=false",
        "features.age.buckets=3",
        "features.age.default=20",
        "features.age.column=years",
        "features.age.role=context",
        "features.recent.length=8",
        "features.article.min_count=2",
        "features.article.max_size=100",
        "features.article.num_oov_indices=2",
        "features.hour.default=none",
        "features.tags.separator=','",
        "features.tags.max_values=4",
        "features.hour.hash_buckets=25",
        "features.title={role: item, kind: categorical}",
        "features.extra={role: item, kind: numeric}",
        "label.threshold=3",
        "label.column=rating",
        "label=null",
        "timestamp.unit=s",
        "timestamp.column=time",
        "split.validation=0.1",
        "split={strategy: leave_one_out}",
        "split={strategy: random, seed: 2}",
    ],
)
def test_the_fingerprint_changes_with_what_decides_encoded_values(change):
    assert schema(change).fingerprint != schema().fingerprint


def test_the_fingerprint_does_not_change_with_the_name():
    assert schema("name=other").fingerprint == schema().fingerprint


def test_a_random_split_with_another_seed_has_another_fingerprint():
    one, two = (schema(f"split={{strategy: random, seed: {seed}}}") for seed in (1, 2))
    assert one.fingerprint != two.fingerprint


def test_a_schema_edited_by_hand_is_refused(tmp_path):
    path = tmp_path / "schema.json"
    schema().save(path)
    content = json.loads(path.read_text())
    content["schema"]["features"]["age"]["log"] = True
    path.write_text(json.dumps(content))
    with pytest.raises(SchemaError, match="was changed after it was written; run the transforms again"):
        Schema.load(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": {}}', '{"schema": {"format_version": 2}}'])
def test_what_is_no_schema_is_one_clear_line(tmp_path, content):
    path = tmp_path / "schema.json"
    path.write_text(content)
    with pytest.raises(SchemaError, match="not a schema of this version") as caught:
        Schema.load(path)
    assert "\n" not in str(caught.value)


def test_a_schema_without_its_fingerprint_is_refused(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"schema": schema().model_dump(mode="json")}))
    with pytest.raises(SchemaError):
        Schema.load(path)


def test_an_absent_schema_is_an_artifact_error(tmp_path):
    with pytest.raises(ArtifactError, match="is this a dataset"):
        Schema.load(tmp_path / "schema.json")


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES | REQUEST_NAMES))
def test_reserved_names_are_refused(name):
    with pytest.raises(ConfigError, match=f"feature '{name}': this name is reserved"):
        schema(f"features.{name}={{role: item, kind: numeric}}")


@pytest.mark.parametrize("name", ["2nd", "with space", "a-b", "", "é é", "a/b"])
def test_names_that_cannot_name_a_tensor_are_refused(name):
    features = {**schema().model_dump()["features"], name: {"role": "item", "kind": "numeric"}}
    with pytest.raises(ValidationError, match="use letters, digits and underscores"):
        Schema(**{**schema().model_dump(), "features": features})


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("features.customer.id=false", "exactly one feature of role user needs 'id: true', got none"),
        ("features.article.id=false", "exactly one feature of role item needs 'id: true', got none"),
        (
            "features.second={role: item, kind: categorical, id: true}",
            "exactly one feature of role item needs 'id: true', got ['article', 'second']",
        ),
        ("features.article.separator=x", "is an id"),
        ("features.article.hash_buckets=9", "is an id"),
        ("features.hour={role: context, kind: categorical, id: true}", "is an id"),
        ("features.article.default=none", "has no 'default'; drop it"),
        ("features.tags.flags=[a, b]", "has two of 'separator', 'flags' and 'list'"),
        ("features.tags={role: item, kind: categorical, column: x, flags: [a]}", "has both 'column' and 'flags'"),
        ("timestamp=null", "strategy 'temporal' needs a 'timestamp'"),
        ("split.validation=0.95", "leave nothing to train on"),
        ("split.strategy=temporel", "unknown strategy 'temporel'; did you mean 'temporal'?"),
        ("features.recent.length=0", "features.recent.length: got 0; "),
        ("features.recent.role=item", "features.recent.role"),
        ("features.age.kind=number", "unknown kind 'number'"),
    ],
)
def test_a_schema_that_cannot_be_meant_is_refused_in_one_line(override, reason):
    with pytest.raises(ConfigError) as caught:
        schema(override)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_is_binary_only_with_a_threshold_even_of_zero():
    assert schema("label.threshold=0").label.is_binary
    assert not schema("label={column: stars}").label.is_binary
