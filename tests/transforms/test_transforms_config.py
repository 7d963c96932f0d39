"""dataset.yaml: each typical mistake is one line that names the place and the way out."""

from __future__ import annotations

import re

import pytest

from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from transforms.beam_options import beam_options
from transforms.dataset_config import PRESETS, DatasetConfig, load_dataset_config

YAML = """\
name: shop
events:
  files: events.csv
  delimiter: ","
features:
  user: {role: user, kind: categorical, id: true}
  item: {role: item, kind: categorical, id: true}
  price: {role: item, kind: numeric}
label: {column: stars}
timestamp: {column: when}
split: {strategy: temporal}
"""

MISTAKES = [
    ("  files: events.csv", "  fils: events.csv", 3, "unknown key 'fils' in 'events'; did you mean 'files'?"),
    ("events:", "event:", 2, "unknown key 'event'; did you mean 'events'?"),
    ("kind: numeric}", "kind: numeric, bucket: 3}", 8, "unknown key 'bucket' in 'features.price'; did you mean "),
    ("kind: numeric}", "kind: number}", 8, "unknown kind 'number'"),
    ("kind: numeric}", "kind: numeric, buckets: 1}", 8, "greater than or equal to 2"),
    ("kind: numeric}", "min_count: 3}", 8, "is missing; add it"),
    ("{role: item, kind: numeric}", "{role: thing, kind: numeric}", 8, "should be 'user', 'item' or 'context'"),
    ("strategy: temporal", "strategy: time", 11, "unknown strategy 'time'"),
    ("strategy: temporal", "strategy: temporal, test: 0.6, validation: 0.5", 11, "leave nothing to train on"),
    ("strategy: temporal", "strategy: random, sed: 3", 11, "unknown key 'sed' in 'split'; did you mean 'seed'?"),
    ("{column: stars}", "{colum: stars}", 9, "unknown key 'colum' in 'label'; did you mean 'column'?"),
    ("{column: when}", "{column: when, unit: minutes}", 10, "should be 's', 'ms', 'us', 'ns' or 'iso'"),
    ('delimiter: ","', 'delimiter: ""', 4, "at least 1 character"),
    ('delimiter: ","', 'delimiter: "::"', None, "goes with 'quote: null'"),
    ('delimiter: ","', 'delimiter: "§"', None, "must be ASCII"),
    ('delimiter: ","', 'delimiter: "\\n"', None, "cannot hold an end of line"),
    ('delimiter: ","', "delimiter: '\"'", None, "are the same"),
    ('delimiter: ","', "header: false", None, "needs 'columns'"),
    ('delimiter: ","', "columns: [a, b]", None, "has 'columns' and a header"),
    ('delimiter: ","', "header: false\n  columns: [a, a]", None, "named twice"),
    ("files: events.csv", "files: []", 3, "at least 1 item"),
    ("name: shop", "name: shop\nname: stall", 2, "key 'name' stands twice"),
    ("name: shop", "name: [shop", None, "not valid YAML"),
    ("name: shop", "name: shop\nmax_rejected_share: 1.5", 2, "less than or equal to 1"),
    ("name: shop", "name: shop\ncompression: zip", 2, "'gzip' or 'none'"),
    ("item, kind: categorical, id: true", "item, kind: categorical", None, "exactly one feature of role item needs"),
    ("item, kind: categorical, id: true", 'item, kind: categorical, id: true, separator: "|"', 7, "is an id"),
    ("  price:", "  label:", None, "this name is reserved"),
    ("  price:", "  1price:", None, "use letters, digits and underscores"),
    ("timestamp: {column: when}\n", "", None, "strategy 'temporal' needs a 'timestamp'"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_names_the_place_and_the_way_out(old, new, line, message):
    parse_config(YAML, DatasetConfig)  # right without the mistake
    assert YAML.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        parse_config(YAML.replace(old, new), DatasetConfig, source="dataset.yaml")
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    found = re.match(r"dataset.yaml:(\d+): ", text)
    assert found
    assert line is None or int(found[1]) == line


@pytest.mark.parametrize("name", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_every_preset_parses_under_its_own_name(name):
    config = load_dataset_config(name)
    assert config.name == name
    assert config.schema_of().history == ("history" if config.timestamp else None)


def test_a_wrong_name_of_a_preset_names_the_nearest():
    with pytest.raises(ConfigError, match=r"neither a file nor a preset; did you mean 'ml-100k'\?"):
        load_dataset_config("ml-100")


def test_an_absent_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ConfigError, match=r"absent.yaml: cannot be read"):
        load_dataset_config(str(tmp_path / "absent.yaml"))


def test_set_overrides_the_file():
    overrides = ("split={strategy: random, seed: 9}", "label.threshold=4", "events.files=[a, b]", "timestamp=null")
    config = load_dataset_config("ml-100k", overrides)
    assert (config.split.strategy, config.split.seed, config.label.threshold) == ("random", 9, 4)
    assert (config.events.files, config.timestamp) == (("a", "b"), None)
    assert config.events.delimiter == "\t"


def test_a_mistake_in_set_is_an_error_that_names_the_flag():
    with pytest.raises(ConfigError, match=r"^--set: unknown key 'sed' in 'split'; did you mean 'seed'\?"):
        load_dataset_config("ml-100k", ("split={strategy: random, sed: 9}",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--direct_num_worker=2"], "unknown flag --direct_num_worker; did you mean 'direct_num_workers'?"),
        (["--qqq"], "unknown flag --qqq; see --help"),
        (["--direct_num_workers=two"], "argument --direct_num_workers: invalid int value: 'two'"),
        (["stray"], "unexpected argument 'stray'; every value belongs to a flag"),
        (["--runner=DirectRunner", "stray"], "unexpected argument 'stray'; every value belongs to a flag"),
    ],
)
def test_a_flag_that_beam_does_not_take_is_one_line(arguments, message):
    with pytest.raises(ConfigError) as caught:
        beam_options(arguments)
    assert str(caught.value) == message


def test_flags_of_beam_are_passed_on_in_every_spelling():
    options = beam_options(["--direct_num_workers", "2", "--runner=FlinkRunner", "--no_auth"])
    found = options.get_all_options()
    assert (found["direct_num_workers"], found["runner"], found["no_auth"]) == (2, "FlinkRunner", True)
