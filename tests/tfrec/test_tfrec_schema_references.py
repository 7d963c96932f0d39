"""Vectors, weights, crosses, targets and kept negatives in the schema: what they need, and who must not clash."""

import hashlib
import json

import pytest

from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from tfrec.schema import Cross, Label, Schema

RICH = """
name: shop
features:
  customer: {role: user, kind: categorical, id: true}
  job: {role: user, kind: categorical}
  age: {role: user, kind: numeric, buckets: 4}
  height: {role: user, kind: numeric}
  recent: {role: user, kind: sequence, length: 7}
  stars: {role: user, kind: sequence, length: 7, of: label}
  article: {role: item, kind: categorical, id: true}
  title: {role: item, kind: text}
  blurb: {role: item, kind: text, tokens: {}}
  tags: {role: item, kind: categorical, separator: ";", max_values: 3}
  tag_weights: {role: item, kind: weights, of: tags, separator: ";"}
  genres: {role: item, kind: categorical, flags: [comedy, drama]}
  picture: {role: item, kind: vector, length: 5, list: true}
label: {column: rating, threshold: 3}
targets:
  like: {column: rating, threshold: 4}
  seconds: {column: watched}
crosses:
  age_x_job: {of: [age, job], hash_buckets: 100}
  recent_x_article: {of: [recent, article]}
  all_three: {of: [customer, job, tags]}
split: {strategy: leave_one_out}
"""


def schema(*overrides):
    return parse_config(RICH, Schema, overrides)


def refused(*overrides):
    with pytest.raises(ConfigError) as error:
        schema(*overrides)
    return str(error.value)


def test_crosses_and_targets_are_read_and_survive_the_file(tmp_path):
    found = schema("kept_negatives=0.25")
    assert found.crosses["age_x_job"] == Cross(of=("age", "job"), hash_buckets=100)
    assert found.crosses["recent_x_article"].hash_buckets == 10_000
    assert found.targets == {"like": Label(column="rating", threshold=4), "seconds": Label(column="watched")}
    found.save(tmp_path / "schema.json")
    assert Schema.load(tmp_path / "schema.json") == found


def test_targets_are_fields_of_the_records_and_crosses_are_not():
    assert schema().extra_fields == {"like": "float32", "seconds": "float32"}
    assert set(schema().encoded) == set(schema().features) - {"title"}


def test_weights_know_what_they_weigh_and_are_as_wide():
    found = schema()
    assert found.features["tag_weights"].max_values == 3
    assert found.weights_of("tags") == "tag_weights"
    assert found.weights_of("genres") is None
    assert schema("features.tag_weights.max_values=3") == found


@pytest.mark.parametrize(
    "change",
    [
        "crosses.age_x_job.hash_buckets=99",
        "crosses.age_x_job.of=[job, age]",
        "crosses={}",
        "targets.like.threshold=3",
        "targets={}",
        "kept_negatives=0.5",
        "features.picture.length=6",
        "features.tag_weights.separator=','",
    ],
)
def test_whatever_changes_the_meaning_changes_the_fingerprint(change):
    assert schema(change).fingerprint != schema().fingerprint


def test_a_schema_that_was_written_before_there_were_crosses_is_still_itself(tmp_path):
    """The fingerprint of a schema without them was made without their keys."""
    plain = schema("crosses={}", "targets={}", "split={strategy: given}")
    plain.save(tmp_path / "schema.json")
    content = json.loads((tmp_path / "schema.json").read_text())
    for key in ("crosses", "targets", "kept_negatives"):
        del content["schema"][key]
    content["schema"]["split"] = {"strategy": "given"}
    (tmp_path / "schema.json").write_text(json.dumps(content))
    assert Schema.load(tmp_path / "schema.json") == plain
    written = {key: value for key, value in content["schema"].items() if key != "name"}
    digest = hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:16]
    assert plain.fingerprint == digest


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("crosses.age_x_job.of=[age]", ["at least 2"]),
        ("crosses.age_x_job.of=[age, job, tags, article]", ["at most 3"]),
        ("crosses.age_x_job.of=[age, age]", ["['age', 'age'] names a feature twice"]),
        ("crosses.age_x_job.of=[age, work]", ["cross 'age_x_job'", "'work' is not a feature"]),
        ("crosses.age_x_job.of=[height, job]", ["'height' has no ids", "'buckets'"]),
        ("crosses.age_x_job.of=[title, job]", ["'title' has no ids", "'tokens'"]),
        ("crosses.age_x_job.of=[picture, job]", ["'picture' has no ids"]),
        ("crosses.age_x_job.of=[tag_weights, job]", ["'tag_weights' has no ids"]),
        ("crosses.age_x_job.of=[stars, job]", ["'stars' has no ids"]),
        ("crosses.age_x_job.of=[tags, genres]", ["['tags', 'genres'] have several values each"]),
        ("crosses.age_x_job.of=[recent, job, blurb]", ["['recent', 'blurb'] have several values each"]),
        ("crosses.age_x_job.hash_buckets=0", ["hash_buckets"]),
        ("crosses.age={of: [age, job]}", ["cross 'age': a feature has this name"]),
        ("crosses.label={of: [age, job]}", ["cross 'label': this name is reserved"]),
        ("crosses.age x job={of: [age, job]}", ["cross 'age x job': use letters"]),
        ("targets.job={column: x}", ["target 'job': a feature has this name"]),
        ("targets.age_x_job={column: x}", ["target 'age_x_job': a cross has this name"]),
        ("targets.weight={column: x}", ["target 'weight': this name is reserved"]),
        ("targets.scores={column: x}", ["target 'scores': this name is reserved"]),
        ("targets.like.values=[yes]", ["both 'threshold' and 'values'"]),
        ("features.tag_weights.of=topics", ["'of: topics' is not a categorical feature with 'separator'"]),
        ("features.tag_weights.of=job", ["'of: job' is not a categorical feature with 'separator'"]),
        ("features.tag_weights.of=genres", ["'of: genres' is not"]),
        ("features.tag_weights.role=user", ["has role user, 'tags' has item"]),
        ("features.tag_weights.max_values=4", ["max_values is 4, that of 'tags' 3", "drop it"]),
        ("features.more={role: item, kind: weights, of: tags, list: true}", ["['tag_weights', 'more']", "keep one"]),
        ("features.tag_weights.separator=null", ["needs either 'separator'", "'list: true'"]),
        ("features.picture.separator=','", ["needs either 'separator'"]),
        ("features.picture={role: item, kind: vector, list: true}", ["length", "missing"]),
        ("features.picture.length=0", ["length"]),
        ("kept_negatives=0", ["kept_negatives"]),
        ("kept_negatives=1.5", ["kept_negatives"]),
    ],
)
def test_what_does_not_fit_is_refused_in_words(override, words):
    message = refused(override)
    for word in words:
        assert word in message


def test_a_feature_may_be_called_as_an_answer_is():
    """Requests and answers are two things; targets stand among the answers."""
    assert "scores" in schema("features.scores={role: user, kind: numeric}").features


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (["label=null", "features.stars={role: user, kind: sequence, length: 7}"], "without a 'label' there are no"),
        (
            ["label={column: rating}"],
            "a label that is a value has no negatives; give 'label' a 'threshold' or 'values'",
        ),
    ],
)
def test_negatives_can_only_be_left_out_where_there_are_some(label, words):
    """Of a value no correction could make up for them: its predictions would be those of another log."""
    assert words in refused("kept_negatives=0.5", *label)
    schema(*label)
