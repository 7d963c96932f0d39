"""Full disks, signals, damaged files: a run ends with one line, and what stood at the output before it stays whole."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystems import FileSystems

from tests.transforms.conftest import Workshop
from tfrec.errors import TfrecError

ROOT = Path(__file__).parents[2]
YAML = """\
name: faults
events: {files: "events*"}
features:
  user: {role: user, kind: categorical, id: true}
  past: {role: user, kind: sequence, length: 5}
  item: {role: item, kind: categorical, id: true}
  seen: {role: item, kind: numeric, so_far: item_events}
  price: {role: context, kind: numeric}
label: {column: stars}
timestamp: {column: when, unit: s}
max_rejected_share: 1
"""
PARQUET = YAML.replace('"events*"', '"events*", format: parquet')
JSONL = YAML.replace('"events*"', '"events*", format: jsonl')
COLUMNS = ("user", "item", "stars", "when", "price")


def log_rows(count: int, seed: int = 0) -> list[tuple[str, ...]]:
    rng = random.Random(seed)
    return [
        (f"u{rng.randrange(20)}", f"i{rng.randrange(15)}", str(rng.randint(1, 5)), str(1_600_000_000 + 60 * at), "1.5")
        for at in range(count)
    ]


def csv_of(rows: list[tuple[str, ...]]) -> str:
    return "".join(",".join(row) + "\n" for row in [COLUMNS, *rows])


def write_parquet(path: Path, rows: list[tuple[str, ...]], **changed: pa.Array) -> None:
    columns = {name: pa.array([row[at] for row in rows]) for at, name in enumerate(COLUMNS)}
    pq.write_table(
        pa.table(columns | changed), path, compression="none", use_dictionary=False, write_page_checksum=True
    )


def fingerprint_if_whole(output: Path) -> str | None:
    """None where there is nothing; every file that the manifest names must be as it says."""
    if not output.exists():
        return None
    manifest = json.loads((output / "manifest.json").read_text())
    for part, entries in manifest["files"].items():
        for entry in entries:
            assert hashlib.sha256((output / part / entry["name"]).read_bytes()).hexdigest() == entry["sha256"]
    for counts in manifest["rows"].values():
        assert counts["rows"] == counts["accepted"] + counts["rejected"]
    return str(manifest["fingerprint"])


def command(shop: Workshop) -> list[str]:
    config = shop.input.parent.parent / "dataset.yaml"
    config.write_text(YAML)
    flags = ["--config", str(config), "--input-dir", str(shop.input), "--output", str(shop.output)]
    return [sys.executable, "-m", "transforms.run", *flags]


def error_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line and not line.startswith("transforms ")]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A dataset at the output, and another log that is to replace it."""
    shop = Workshop(tmp_path_factory.mktemp("written") / "workshop")
    shop.log(events=csv_of(log_rows(300))).run(YAML)
    shop.log(events=csv_of(log_rows(3000, seed=1)))
    return shop


@pytest.fixture
def shop_with_old(written: Workshop, workshop: Workshop) -> tuple[Workshop, str]:
    """A copy of it, and the fingerprint of the dataset that is there."""
    shutil.copytree(written.input, workshop.input, dirs_exist_ok=True)
    shutil.copytree(written.output, workshop.output)
    old = fingerprint_if_whole(workshop.output)
    assert old is not None
    return workshop, old


QUICK = ("prepared/rows.json", "prepared/ordered/", "/train/part", "/manifest.json")
SLOW = (
    "prepared/counted/",
    "prepared/counts/",
    "/vocabulary/",
    "/statistics.json",
    "-encoded.arrow",
    "/items/part",
    "prepared/files.json",
)
STAGES = [*QUICK, *(pytest.param(stage, marks=pytest.mark.slow) for stage in SLOW)]


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_up_at_any_stage_leaves_the_old_dataset_and_nothing_else(stage, shop_with_old, monkeypatch):
    shop, old = shop_with_old
    create, failed = FileSystems.create, []

    def full(path: str, *more: Any, **named: Any) -> Any:
        file = create(path, *more, **named)
        if stage in path:
            failed.append(path)
            file.write(b"half of it")
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device", path)
        return file

    with monkeypatch.context() as patched:
        patched.setattr(FileSystems, "create", staticmethod(full))
        with pytest.raises(Exception, match="No space left"):
            shop.run(YAML)
    assert failed
    assert shop.names() == {"out"}
    assert fingerprint_if_whole(shop.output) == old
    shop.run(YAML)
    assert shop.names() == {"out"}
    assert fingerprint_if_whole(shop.output) not in (old, None)


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def limited(shop: Workshop, size: int) -> subprocess.CompletedProcess:
    """Run with files of at most `size` bytes; Python ignores SIGXFSZ, so writing more is an OSError (EFBIG).

    A process of its own sets the limit: Python between fork and exec can wait for ever for what threads here hold.
    """
    arguments = [sys.executable, "-c", LIMITED, str(size), *command(shop)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)


# 3000 rows: exchange file, then ordered events, then the saved transform do not fit.
@pytest.mark.slow
@pytest.mark.parametrize("size", [4_000, 110_000, 180_000])
def test_writes_that_the_system_refuses_leave_the_old_dataset_whole(size, shop_with_old):
    shop, old = shop_with_old
    done = limited(shop, size)
    assert done.returncode in (1, 2)
    assert "File too large" in done.stderr
    assert shop.names() == {"out"}
    assert fingerprint_if_whole(shop.output) == old


def test_a_write_that_the_system_refuses_is_one_line_with_the_path(shop_with_old):
    shop, _ = shop_with_old
    done = limited(shop, 4_000)
    assert "Traceback" not in done.stderr
    assert len(error_lines(done.stderr)) == 1
    assert str(shop.output) in done.stderr
    assert "File too large" in done.stderr


def can_mount(at: Path) -> bool:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(at)]
    try:
        return os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_file_system_gets_no_half_dataset(workshop, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if not can_mount(place):
        pytest.skip("needs root and leave to mount a tmpfs")
    try:
        workshop.log(events=csv_of(log_rows(3000)))
        workshop.output = place / "out"
        with pytest.raises(Exception, match="No space left"):
            workshop.run(YAML)
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_an_interrupt_between_the_two_renames_brings_the_old_dataset_back(shop_with_old, monkeypatch):
    shop, old = shop_with_old
    rename, renamed = FileSystems.rename, []

    def interrupted(sources: list[str], targets: list[str]) -> None:
        rename(sources, targets)
        if targets[0].endswith(".old") and not renamed:
            renamed.append(targets[0])
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FileSystems, "rename", staticmethod(interrupted))
        with pytest.raises(KeyboardInterrupt):
            shop.run(YAML)
    assert renamed
    assert fingerprint_if_whole(shop.output) == old
    assert shop.names() == {"out"}


def test_an_interrupt_while_the_old_dataset_is_removed_leaves_the_new_one_alone(shop_with_old, monkeypatch):
    shop, old = shop_with_old
    rmtree, interrupted = shutil.rmtree, []

    def halfway(path: Path, *rest: Any, **more: Any) -> None:
        if str(path).endswith(".old") and not interrupted:
            interrupted.append(path)
            (Path(path) / "manifest.json").unlink()
            raise KeyboardInterrupt
        rmtree(path, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", halfway)
        with pytest.raises(KeyboardInterrupt):
            shop.run(YAML)
    assert interrupted
    assert fingerprint_if_whole(shop.output) not in (old, None)
    assert shop.names() == {"out"}


def test_a_new_dataset_that_cannot_be_renamed_leaves_the_old_one(shop_with_old, monkeypatch):
    shop, old = shop_with_old
    rename = FileSystems.rename

    def refused(sources: list[str], targets: list[str]) -> None:
        if targets[0] == str(shop.output) and sources[0].endswith(".tmp"):
            raise OSError(errno.EACCES, "Permission denied")
        rename(sources, targets)

    with monkeypatch.context() as patched:
        patched.setattr(FileSystems, "rename", staticmethod(refused))
        with pytest.raises(Exception, match="Permission denied"):
            shop.run(YAML)
    assert fingerprint_if_whole(shop.output) == old
    assert shop.names() == {"out"}


def signalled(shop: Workshop, after: str, number: signal.Signals, wait: float) -> int:
    with subprocess.Popen(command(shop), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if after in line:
                break
        time.sleep(wait)
        process.send_signal(number)
        process.stderr.read()
        return process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGKILL, "1/3"), (signal.SIGKILL, "2/3"), (signal.SIGKILL, "3/3"), (signal.SIGTERM, "2/3"),
     (signal.SIGINT, "3/3")],
)  # fmt: skip
def test_a_run_that_is_stopped_leaves_the_old_dataset_or_the_new_one_whole(number, after, shop_with_old):
    shop, old = shop_with_old
    code = signalled(shop, after, number, random.Random(f"{number}{after}").uniform(0, 0.4))
    found = fingerprint_if_whole(shop.output)
    if number == signal.SIGINT:
        assert shop.names() == {"out"}
    shop.run(YAML)
    new = fingerprint_if_whole(shop.output)
    assert new not in (old, None)
    assert found in (old, new)  # a signal may come when the new one is in its place and the process is leaving
    assert code != 0 or found == new


def test_sigterm_leaves_no_temporary_directory(shop_with_old):
    shop, old = shop_with_old
    assert signalled(shop, "1/3", signal.SIGTERM, 0.0) != 0
    assert fingerprint_if_whole(shop.output) == old
    assert shop.names() == {"out"}


STUCK = """
import signal, sys, threading, time
from transforms.stop import stop_on_signals
stop_on_signals(grace_seconds=0.3)
try:
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
finally:
    threading.Event().wait(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_cannot_be_left_is_ended_some_seconds_after_the_signal(number):
    with subprocess.Popen([sys.executable, "-c", STUCK], cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(number)
        said = process.stderr.read()
    assert said == "stopped, but not tidied up within 0.3 s; OUTPUT.*.tmp may be left\n"
    assert process.returncode == 128 + number


ODD_NUMBERS = (
    "x",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e39",
    "1_000",
    "0x10",
    "１２",
    "",
    "+5",
    ".5",
    "5.",
    "1e-400",
    "True",
)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_odd_numbers_are_accepted_or_rejected_alike_in_every_format(kind, workshop):
    rows = log_rows(50)
    rows += [("odd", f"o{at}", "1", str(1_700_000_000 + at), text) for at, text in enumerate(ODD_NUMBERS)]
    if kind == "csv":
        workshop.log(events=csv_of(rows))
    elif kind == "jsonl":
        lines = "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows)
        (workshop.input / "events.jsonl").write_text(lines)
    else:
        write_parquet(workshop.input / "events.parquet", rows)
    counts = workshop.run({"csv": YAML, "jsonl": JSONL, "parquet": PARQUET}[kind])["rows"]["events"]
    assert (counts["rows"], counts["accepted"], counts["rejected"]) == (65, 55, 10)
    assert counts["reasons"] == {"price is not a finite number": 5, "price is not a number": 5}


@pytest.mark.parametrize("column", ["user", "item", "price"])
def test_a_parquet_string_that_is_not_utf8_rejects_its_row(column, workshop):
    rows = log_rows(50)
    texts = [row[COLUMNS.index(column)].encode() for row in rows]
    bad = pa.array([b"\xff\xfe", *texts[1:]], pa.binary()).view(pa.string())
    write_parquet(workshop.input / "events.parquet", rows, **{column: bad})
    counts = workshop.run(PARQUET)["rows"]["events"]
    assert (counts["accepted"], counts["reasons"]) == (49, {f"{column} is not valid UTF-8": 1})


@pytest.mark.parametrize(("unit", "value"), [("ns", 2**63 - 1), ("ms", 2**53), ("ms", -(2**53))])
def test_a_native_time_out_of_all_bounds_rejects_its_row(unit, value, workshop):
    per_second = 1_000_000_000 if unit == "ns" else 1000
    rows = log_rows(50)
    times = [value, *(int(row[3]) * per_second for row in rows[1:])]
    write_parquet(workshop.input / "events.parquet", rows, when=pa.array(times, pa.timestamp(unit)))
    counts = workshop.run(PARQUET)["rows"]["events"]
    assert (counts["accepted"], counts["reasons"]) == (49, {"when lies outside the years 1900 to 2200": 1})


def test_a_flipped_bit_in_a_parquet_page_with_checksum_is_an_error(workshop):
    path = workshop.input / "events.parquet"
    write_parquet(path, log_rows(50), item=pa.array([f"item-{at:03d}" for at in range(50)]))
    content = path.read_bytes()
    assert content.count(b"item-025") == 1
    path.write_bytes(content.replace(b"item-025", b"item-325"))
    with pytest.raises(TfrecError, match="cannot be read as Parquet"):
        workshop.run(PARQUET)


@pytest.mark.parametrize("header", ["user,item\ra,b\rc,d\r", "user," + "x" * 200_000 + "\na,b\n"])
def test_a_header_that_python_cannot_read_is_a_data_error(header, workshop, pairs_yaml):
    workshop.log(events=header)
    with pytest.raises(TfrecError):
        workshop.run(pairs_yaml)


def cut_gzip(shop: Workshop) -> None:
    """Cut behind what is looked at before the pipeline starts."""
    (shop.input / "events.csv").unlink(missing_ok=True)
    packed = gzip.compress(csv_of(log_rows(100_000)).encode(), 1)
    (shop.input / "events.csv.gz").write_bytes(packed[:-200])


def test_a_gzip_cut_off_late_is_a_data_error_and_leaves_the_old_dataset(shop_with_old):
    shop, old = shop_with_old
    cut_gzip(shop)
    with pytest.raises(TfrecError, match="cannot be read to its end"):
        shop.run(YAML)
    assert fingerprint_if_whole(shop.output) == old
    assert shop.names() == {"out"}


def test_an_error_of_a_step_is_one_line(workshop):
    cut_gzip(workshop)
    done = subprocess.run(command(workshop), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    [line] = error_lines(done.stderr)
    assert re.fullmatch(r"DataError: .*is it cut off\?", line)


def test_an_output_that_is_a_link_to_a_dataset_is_replaced(shop_with_old):
    shop, old = shop_with_old
    real = shop.output.with_name("real")
    shop.output.rename(real)
    shop.output.symlink_to(real)
    shop.run(YAML)
    assert fingerprint_if_whole(shop.output) not in (old, None)
    assert shop.names() <= {"out", "real"}


MODES = {
    "one": [],
    "threads": ["--direct_num_workers=2", "--direct_running_mode=multi_threading"],
    "processes": ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
}
EVERYTHING = (
    YAML.replace("features:\n", "features:\n  here: {role: user, kind: sequence, length: 3, within: session}\n")
    + "sessions: {gap_minutes: 30}\nfilters: {min_user_events: 3, min_item_events: 3}\nrows_per_record: 16\n"
)


def ran(root: Path, mode: str, partition_bytes: int) -> dict[str, Any]:
    """The manifest of a run over two files."""
    shop = Workshop(root).log(**{f"events{at}": csv_of(log_rows(800, seed=at)) for at in range(2)})
    manifest = shop.run(EVERYTHING, [f"partition_bytes={partition_bytes}"], MODES[mode])
    return {key: manifest[key] for key in ("files", "fingerprint", "rows")}


@pytest.fixture(scope="module")
def by_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return ran(tmp_path_factory.mktemp("by_one") / "shop", "one", 64 << 20)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "partition_bytes"), [("threads", 5_000), ("threads", 64 << 20), ("processes", 5_000)])
def test_workers_and_groups_of_users_change_no_byte_of_the_records(mode, partition_bytes, by_one, tmp_path):
    assert ran(tmp_path / "shop", mode, partition_bytes) == by_one
