"""Logs read from an object store and datasets written to one: the bytes of a local run, and never half a dataset.

The store is moto's S3 server, in this process; Beam talks to it over HTTP as to any other.
"""

from __future__ import annotations

import functools
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from tests.transforms.test_transforms_shards import assert_same_bytes
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ArtifactError, ConfigError, DataError
from transforms import storage
from transforms.beam_options import beam_options
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig, load_dataset_config
from transforms.generate import World, generate_log
from transforms.replace import replace

boto3 = pytest.importorskip("boto3", reason="boto3 is what Beam reads s3:// with: pip install -e '.[dev]'")
moto_server = pytest.importorskip("moto.server", reason="moto is the S3 server of these tests: pip install -e '.[dev]'")

JSONFileLoader = pytest.importorskip("botocore.loaders").JSONFileLoader

pytestmark = pytest.mark.slow

BUCKET = "bucket"


class Store:
    """One bucket, and the flags with which Beam finds it."""

    def __init__(self, url: str) -> None:
        keys = {"endpoint_url": url, "region_name": "us-east-1"}
        keys |= {f"{key}_key{end}": "tests" for key, end in (("aws_access", "_id"), ("aws_secret_access", ""))}
        self.client: Any = boto3.client("s3", **keys)
        self.client.create_bucket(Bucket=BUCKET)
        self.flags = [f"--s3_{name.removeprefix('aws_')}={value}" for name, value in keys.items()]

    def upload(self, local: Path, prefix: str) -> None:
        for path in local.iterdir():
            self.put(f"{prefix}/{path.name}", path.read_bytes())

    def put(self, key: str, content: bytes = b"") -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def keys(self, prefix: str) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in found]

    def download(self, prefix: str, target: Path) -> Path:
        for key in self.keys(f"{prefix}/"):
            path = target / key.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        return target


def read_once(load_file: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Beam makes a client for every call, each of which reads what S3 is anew: most of the time of these tests."""
    read = functools.cache(lambda path: load_file(JSONFileLoader(), path))
    return lambda loader, path: read(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Store]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        # Neither this machine's own settings of AWS, nor a proxy between the test and its server.
        patch.setenv("AWS_CONFIG_FILE", str(tmp_path_factory.mktemp("aws") / "absent"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path_factory.mktemp("aws") / "absent"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setattr(FileSystems, "_pipeline_options", None)
        patch.setattr(JSONFileLoader, "load_file", read_once(JSONFileLoader.load_file))
        server.start()
        try:
            yield Store("http://{}:{}".format(*server.get_host_and_port()))
        finally:
            server.stop()


@pytest.fixture(scope="module")
def config() -> DatasetConfig:
    return load_dataset_config("generated", ("events.files='events*'", "shard_bytes=250000", "partition_bytes=30000"))


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """A generated log; its events in two files, the second packed."""
    directory = tmp_path_factory.mktemp("log")
    generate_log(directory, 2, World(users=120, items=60, mean_events=20))
    header, *rows = (directory / "events.csv").read_bytes().splitlines(keepends=True)
    (directory / "events.csv").unlink()
    (directory / "events-1.csv").write_bytes(header + b"".join(rows[:1500]))
    (directory / "events-2.csv.gz").write_bytes(gzip.compress(header + b"".join(rows[1500:]), mtime=0))
    return directory


@pytest.fixture(scope="module")
def expected(log, config, tmp_path_factory) -> Path:
    """The dataset of a run that touches local files only."""
    output = tmp_path_factory.mktemp("expected") / "dataset"
    write_dataset(config, str(log), str(output))
    return output


def test_a_log_and_a_dataset_on_the_store_are_the_bytes_of_a_local_run(store, log, config, expected, tmp_path):
    store.upload(log, "logs")
    store.put("logs/events/")  # as a console marks a directory
    write_dataset(config, f"s3://{BUCKET}/logs/", f"s3://{BUCKET}/written/dataset/", store.flags)
    downloaded = store.download("written/dataset", tmp_path / "downloaded")
    assert_same_bytes(expected, downloaded)
    assert len(DatasetDirectory(downloaded).files("train")) > 1
    assert store.keys("written/") == [f"written/dataset/{key}" for key in sorted(names(downloaded))]


def test_a_local_log_replaces_a_dataset_on_the_store_without_a_trace_of_the_old_one(
    store, log, config, expected, tmp_path
):
    for key in ("manifest.json", "train/part-00000-of-00099.tfrecord.gz"):
        store.put(f"replaced/dataset/{key}", b"old")
    store.put("replaced/dataset.rejected/events.jsonl", b"old")
    store.put("replaced/dataset-of-others/manifest.json", b"kept")
    write_dataset(config, str(log), f"s3://{BUCKET}/replaced/dataset", store.flags)
    downloaded = store.download("replaced/dataset", tmp_path / "downloaded")
    assert_same_bytes(expected, downloaded)
    kept = ["replaced/dataset-of-others/manifest.json"]
    assert store.keys("replaced/") == kept + [f"replaced/dataset/{key}" for key in sorted(names(downloaded))]


def names(directory: Path) -> list[str]:
    return [str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()]


@pytest.fixture
def connected(store, monkeypatch) -> Store:
    """The store, for functions that are called outside of a run."""
    monkeypatch.setattr(FileSystems, "_pipeline_options", beam_options(store.flags))
    return store


def test_a_new_dataset_that_cannot_be_copied_stays_whole_and_no_manifest_stands_at_the_output(connected, monkeypatch):
    for key in ("new/manifest.json", "new/train/part", "old/manifest.json", "old/train/part"):
        connected.put(f"torn/{key}", key.encode())

    def fails(sources: list[str], targets: list[str]) -> list[tuple[str, str, Exception]]:
        return [(sources[0], targets[0], BeamIOError("no more room"))]

    monkeypatch.setattr(FileSystems, "copy", fails)
    with pytest.raises(ArtifactError, match=rf"no more room.*it is whole at s3://{BUCKET}/torn/new"):
        replace(f"s3://{BUCKET}/torn/new", f"s3://{BUCKET}/torn/old")
    assert connected.keys("torn/") == ["torn/new/manifest.json", "torn/new/train/part"]


def test_the_manifest_is_gone_before_any_other_file_and_comes_back_after_all(connected, monkeypatch):
    for key in ("new/manifest.json", "new/a", "new/z", "old/manifest.json", "old/a"):
        connected.put(f"order/{key}", key.encode())
    seen = []
    for name in ("delete", "copy"):
        original = getattr(FileSystems, name)

        def watched(*arguments: list[str], original: Any = original) -> Any:
            result = original(*arguments)
            seen.append(connected.keys("order/old/"))
            return result

        monkeypatch.setattr(FileSystems, name, watched)
    replace(f"s3://{BUCKET}/order/new", f"s3://{BUCKET}/order/old")
    files = [f"order/old/{name}" for name in ("a", "manifest.json", "z")]
    assert seen == [files[:1], [], [files[0], files[2]], files, files]
    assert connected.keys("order/new") == []


def test_files_of_no_bytes_and_of_many_parts_are_written_and_read(connected):
    for content in (b"", bytes(range(256)) * 70_000):
        storage.write_bytes(f"s3://{BUCKET}/sizes/file", content)
        assert storage.read_bytes(f"s3://{BUCKET}/sizes/file") == content
    assert connected.keys("sizes/") == ["sizes/file"]


def test_bad_rows_are_kept_beside_an_output_on_the_store(store, config):
    store.put("bad/logs/events.csv", b"user_id,item_id,rating,timestamp\nu,i,5,soon\n")
    store.put("bad/logs/users.csv", b"user_id,age,country\nu,30,BR\n")
    store.put("bad/logs/items.csv", b"item_id,title,genres\ni,Silent River,Drama\n")
    with pytest.raises(DataError, match=r"first: events.csv:2: timestamp is not a number: 'soon'"):
        write_dataset(config, f"s3://{BUCKET}/bad/logs", f"s3://{BUCKET}/bad/out", store.flags)
    assert store.keys("bad/out") == ["bad/out.rejected/events.jsonl"]


@pytest.mark.parametrize(
    ("input_dir", "output", "error", "message"),
    [
        (f"s3://{BUCKET}/nowhere", "out", DataError, r"^events: no file matches 'events\*' in s3://bucket/nowhere; "),
        ("s3://absent/logs", "out", ConfigError, r"^--input-dir=s3://absent/logs: cannot be opened .*NoSuchBucket"),
        (".", "s3://absent/out", ConfigError, r"^--output=s3://absent/out: cannot be opened .*NoSuchBucket"),
        (".", f"s3://{BUCKET}", ConfigError, "is a whole bucket; name a directory in it"),
        (".", f"s3://{BUCKET}/thesis", ArtifactError, "exists and is not a dataset; name another --output or remove"),
        (".", "ftp://host/out", ConfigError, "cannot be opened; allowed: local paths, s3://"),
    ],
)
def test_a_path_that_cannot_be_used_is_one_line_before_any_work(
    store, config, tmp_path, monkeypatch, input_dir, output, error, message
):
    monkeypatch.chdir(tmp_path)
    store.put("thesis/chapter-1.txt", b"years of work")
    started = time.monotonic()
    with pytest.raises(error, match=message) as caught:
        write_dataset(config, input_dir, output, store.flags)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 10
    assert store.keys("thesis/") == ["thesis/chapter-1.txt"]


def test_a_run_without_credentials_says_so_at_once(store, config, tmp_path, monkeypatch):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    flags = [flag for flag in store.flags if "_access_key" not in flag]
    with pytest.raises(ConfigError, match="Unable to locate credentials"):
        write_dataset(config, f"s3://{BUCKET}/logs", str(tmp_path / "out"), flags)


def test_flags_that_would_not_reach_worker_processes_are_refused(store, config, tmp_path):
    processes = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    with pytest.raises(ConfigError, match=r"^--s3_\w+: does not reach the workers of .*AWS_ENDPOINT_URL_S3"):
        write_dataset(config, f"s3://{BUCKET}/logs", str(tmp_path / "out"), [*store.flags, *processes])
