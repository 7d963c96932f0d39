"""What a run does with a log or an output that it cannot use: one clear error, nothing half done."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from apache_beam.io.filesystem import BeamIOError

from tests.transforms.shop_log import SHOP_YAML, write_shop
from tfrec.dataset.records import read_part
from tfrec.errors import ArtifactError, ConfigError, DataError
from transforms.generate import World, generate_log
from transforms.replace import replace

CHECKOUT = Path(__file__).parents[2]
GOOD = "user_id,item_id\n" + "".join(f"u{n % 5},i{n % 7}\n" for n in range(40))


def content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_too_many_bad_rows_fail_with_the_first_reason_keep_the_rejected_and_the_old_dataset(workshop):
    workshop.log(events=GOOD).run()
    old = content(workshop.output)
    workshop.log(events=GOOD + "u1\n,i3\n")
    with pytest.raises(DataError) as caught:
        workshop.run()
    assert str(caught.value) == (
        "events: 2 of 42 rows (4.8%) cannot be used, above max_rejected_share 1.0%; first: events.csv:42: expected "
        "2 columns, got 1; see the .rejected directory beside the output"
    )
    assert workshop.names() == {"out", "out.rejected"}
    assert content(workshop.output) == old
    rows = [json.loads(line) for line in (workshop.input.parent / "out.rejected" / "events.jsonl").open()]
    assert [(row["line"], row["reason"]) for row in rows] == [
        (42, "expected 2 columns, got 1"),
        (43, "user_id is empty"),
    ]


def test_bad_rows_up_to_the_allowed_share_are_left_out(workshop):
    manifest = workshop.log(events=GOOD + "u1\n,i3\n").run(overrides=["max_rejected_share=0.05"])
    assert manifest["rows"]["events"]["accepted"] == 40
    assert manifest["rejected"] == 2
    assert workshop.names() == {"out"}


def test_a_log_of_bad_rows_alone_is_an_error_even_where_all_may_be_rejected(workshop):
    workshop.log(events="user_id,item_id\na\u2028b\x85,i,x\nu\n")
    with pytest.raises(DataError, match=r"none of 2 rows is usable; first: events.csv:2: expected 2 columns, got 3"):
        workshop.run(overrides=["max_rejected_share=1"])
    assert workshop.names() == {"out.rejected"}


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({}, DataError, "no file matches 'events*' in"),
        ({"events": ""}, DataError, "empty; there is nothing to learn from"),
        ({"events": "user_id,item_id\n"}, DataError, "no rows; there is nothing to read"),
        ({"events": "user_id,item_id"}, DataError, "no rows; there is nothing to read"),
        ({"events": "user_id,item_ids\nu,i\n"}, ConfigError, "have no column 'item_id' for the item id; did you mean "),
        ({"events1": GOOD, "events2": "item_id,user_id\ni,u\n"}, DataError, "differs from that of"),
        ({"events": "user_id,item_id,item_id\na,b,c\n"}, DataError, "names a column twice"),
    ],
)
def test_a_log_that_cannot_be_used_is_one_clear_error(workshop, files, error, message):
    with pytest.raises(error) as caught:
        workshop.log(**files).run()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert workshop.names() == set()


def test_a_header_of_only_a_side_table_is_an_error(workshop, pairs_yaml):
    yaml = pairs_yaml.replace("features:", "users: {files: users.csv}\nfeatures:")
    with pytest.raises(DataError, match=r"^users: .*users.csv: no rows"):
        workshop.log(events=GOOD, users="user_id\n").run(yaml)
    assert workshop.names() == set()


def test_a_split_that_leaves_nothing_to_train_on_is_an_error(workshop, pairs_yaml):
    yaml = pairs_yaml.replace("{strategy: leave_one_out}", "{strategy: temporal}") + "timestamp: {column: t}\n"
    with pytest.raises(DataError, match="no training events"):
        workshop.log(events="user_id,item_id,t\n" + "u,i,5\n" * 9).run(yaml)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_compressed_log_is_read_and_one_that_is_cut_off_is_an_error(workshop, pack):
    name = "events.csv.gz" if pack is gzip.compress else "events.csv.bz2"
    packed = pack(("user_id,item_id\n" + "".join(f"u{n * 7919 % 997},i{n % 53}\n" for n in range(3000))).encode())
    (workshop.input / name).write_bytes(packed)
    assert workshop.run()["rows"]["events"]["accepted"] == 3000
    (workshop.input / name).write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="cannot be read to its end"):
        workshop.run()


def test_a_directory_that_is_no_dataset_is_not_replaced(workshop):
    workshop.log(events=GOOD)
    workshop.output.mkdir()
    (workshop.output / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="exists and is not a dataset"):
        workshop.run()
    assert content(workshop.output) == {"thesis.txt": b"years of work"}


def test_an_empty_directory_is_taken_and_an_old_dataset_replaced(workshop):
    workshop.log(events=GOOD)
    workshop.output.mkdir()
    first = workshop.run()
    assert workshop.dataset.manifest == first
    second = workshop.log(events=GOOD + "u9,i9\n").run()
    assert workshop.dataset.manifest == second != first
    assert workshop.names() == {"out"}


def test_a_file_that_matches_two_patterns_is_read_and_sized_once(workshop):
    manifest = workshop.log(events=GOOD).run(overrides=["events.files=[events.csv, 'ev*']"])
    assert manifest["input"]["events"] == {"files": ["events.csv"], "bytes": len(GOOD)}
    assert manifest["rows"]["events"]["rows"] == 40


def test_several_files_are_one_log_in_the_order_of_their_names(workshop):
    workshop.log(events2="user_id,item_id\nu,third\nu,fourth\n", events1="user_id,item_id\nu,first\nu,second\n").run()
    items = [name.decode() for name in read_part(workshop.dataset, "items")["raw/item_id"]]
    order = {}
    for split in ("train", "validation", "test"):
        records = read_part(workshop.dataset, split)
        order |= dict(zip(records["event_position"].tolist(), records["item_index"].tolist(), strict=True))
    assert [items[order[position]] for position in range(4)] == ["first", "second", "third", "fourth"]


def command(*arguments: str, **options) -> subprocess.Popen:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, "-m", "transforms.run", *arguments],
        cwd=CHECKOUT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_the_command_writes_the_dataset_and_prints_the_manifest_as_json(tmp_path):
    (tmp_path / "in").mkdir()
    write_shop(tmp_path / "in")
    (tmp_path / "dataset.yaml").write_text(SHOP_YAML)
    process = command(
        f"--config={tmp_path / 'dataset.yaml'}", f"--input_dir={tmp_path / 'in'}", f"--output={tmp_path / 'out'}",
        "--json", "--set=split.strategy=temporal", "--direct_num_workers", "1",
    )  # fmt: skip
    printed, messages = process.communicate()
    assert process.returncode == 0, messages
    assert json.loads(printed) == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert '"temporal"' in (tmp_path / "out" / "schema.json").read_text()


def test_the_command_s_error_is_one_line_and_its_exit_code_2(tmp_path):
    (tmp_path / "events.csv").write_text("user_id,item_id,rating,timestamp\nu,i,5,soon\n")
    yaml = tmp_path / "dataset.yaml"
    yaml.write_text(
        "name: x\nevents: {files: events.csv}\ntimestamp: {column: timestamp}\nfeatures:\n"
        "  user_id: {role: user, kind: categorical, id: true}\n  item_id: {role: item, kind: categorical, id: true}\n"
    )
    process = command(f"--config={yaml}", f"--input-dir={tmp_path}", f"--output={tmp_path / 'out'}")
    printed, messages = process.communicate()
    assert process.returncode == 2
    assert printed == ""
    assert "Traceback" not in messages
    assert messages.splitlines()[-1] == (
        "DataError: events: none of 1 rows is usable; first: events.csv:2: timestamp is not a number: 'soon'; "
        "check the format and the filters"
    )


@pytest.mark.parametrize("has_old", [False, True])
def test_a_killed_run_leaves_the_old_dataset_or_none(workshop, has_old, tmp_path):
    yaml = tmp_path / "dataset.yaml"
    yaml.write_text(SHOP_YAML)
    write_shop(workshop.input)
    if has_old:
        workshop.run(SHOP_YAML)
    old = content(workshop.output)
    process = command(f"--config={yaml}", f"--input-dir={workshop.input}", f"--output={workshop.output}")
    try:
        deadline = time.monotonic() + 120
        # In the middle: the first pipeline has left its results, the last one has not begun.
        while not list(workshop.input.parent.glob("out.*.tmp/prepared/ordered.json")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert workshop.output.exists() == has_old
    assert content(workshop.output) == old


def test_the_generated_log_is_the_same_bytes_for_the_same_seed(tmp_path):
    world = World(users=20, items=30, mean_events=8)
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        generate_log(tmp_path / name, seed, world)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert content(tmp_path / "one")["events.csv"] != content(tmp_path / "three")["events.csv"]


def test_an_old_dataset_comes_back_where_the_new_one_cannot_be_put_in_its_place(tmp_path):
    output = tmp_path / "dataset"
    output.mkdir()
    (output / "manifest.json").write_text("old")
    with pytest.raises(BeamIOError):
        replace(str(tmp_path / "absent"), str(output))
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]
    assert (output / "manifest.json").read_text() == "old"
