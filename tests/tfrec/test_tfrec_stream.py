"""Batches from files: each row once, in an order of (seed, epoch), wherever it is taken up and however it is shared."""

import gzip
import itertools
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.codec import frame_records, pack_rows
from tfrec.config_file import parse_config
from tfrec.dataset.batches import Batches
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.files import READ_ERRORS
from tfrec.dataset.records import read_part
from tfrec.dataset.stream import StreamBatches
from tfrec.errors import ArtifactError, ConfigError, DataError, SchemaError
from tfrec.schema import Schema

SCHEMA = parse_config(
    """
name: stream
features:
  user_id: {role: user, kind: categorical, id: true}
  past: {role: user, kind: sequence, length: 3}
  item_id: {role: item, kind: categorical, id: true}
  price: {role: context, kind: numeric}
label: {column: stars}
timestamp: {column: when}
request: {column: request}
split: {strategy: leave_one_out}
""",
    Schema,
)
FILES = (13, 40, 1, 25, 21)  # rows
COLUMNS = ("event_position", "past", "price")


def table_of(rows):
    """Event records; `event_position` is the number of the row, and the other columns follow from it."""
    ints = {name: pa.array(rows, pa.int64()) for name in ("user_index", "item_index", "event_position")}
    return pa.table({
        **ints,
        "event_time_ms": pa.array([row + 2**40 for row in rows], pa.int64()),
        "label": pa.array([row % 5 for row in rows], pa.float32()),
        "request_id": pa.array([b"r%d" % row for row in rows], pa.binary()),
        "user_id": pa.array([row + 1 for row in rows], pa.int32()),
        "item_id": pa.array([row + 2 for row in rows], pa.int32()),
        "price": pa.array([row / 2 for row in rows], pa.float32()),
        "past": pa.array([list(range(1, 1 + row % 4)) for row in rows], pa.list_(pa.int32())),
    })  # fmt: skip


def write_dataset(directory, files=FILES, rows_per_record=1, suffix=""):
    """A dataset with a training split of files of so many rows, numbered through."""
    (directory / "train").mkdir(parents=True)
    entries, first = [], 0
    for number, rows in enumerate(files):
        content = frame_records(pack_rows(table_of(range(first, first + rows)), rows_per_record))
        path = directory / "train" / f"part-{number}.tfrecord{suffix}"
        path.write_bytes(gzip.compress(content) if suffix else content)
        entries.append({"name": path.name, "records": rows, "bytes": path.stat().st_size})
        first += rows
    manifest = {"files": {"train": entries}, "rows_per_record": rows_per_record}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    SCHEMA.save(directory / "schema.json")
    return DatasetDirectory(directory)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Datasets by (rows per record, suffix), all of the same rows."""
    root = tmp_path_factory.mktemp("stream")
    return {
        (size, suffix): write_dataset(root / f"{size}{suffix}", FILES, size, suffix)
        for size in (1, 8)
        for suffix in ("", ".gz")
    }


@pytest.fixture(params=[(1, ".gz"), (8, "")], ids=str)
def dataset(datasets, request):
    return datasets[request.param]


def stream_of(dataset, batch_size=10, seed=3, **options):
    return StreamBatches(dataset, "train", batch_size, seed, **{"columns": COLUMNS, "window": 16, **options})


def rows_of(batches):
    return [batch["event_position"].tolist() for batch in batches.as_numpy_iterator()]


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


def test_an_epoch_has_every_row_once_in_batches_of_the_size(dataset):
    stream = stream_of(dataset)
    found = rows_of(stream.epoch(0))
    assert sorted(flat(found)) == list(range(100))
    assert [len(batch) for batch in found] == [10] * 10
    assert (stream.rows, stream.batch_size, stream.steps_per_epoch) == (100, 10, 10)
    assert flat(found) != sorted(flat(found))


def test_the_last_batch_has_what_is_left(dataset):
    assert [len(batch) for batch in rows_of(stream_of(dataset, 30).epoch(0))] == [30, 30, 30, 10]
    assert [len(batch) for batch in rows_of(stream_of(dataset, 1000).epoch(0))] == [100]


def test_the_columns_of_a_batch_belong_together(dataset):
    for batch in stream_of(dataset, columns=None).epoch(0).as_numpy_iterator():
        expected = table_of(batch["event_position"].tolist()).to_pydict()
        for name, values in batch.items():
            padded = [(list(row) + [0] * 3)[:3] for row in expected[name]] if name == "past" else expected[name]
            assert values.tolist() == padded


def test_only_the_columns_asked_for_are_there_in_the_dtypes_of_the_records(dataset):
    batch = next(iter(stream_of(dataset).epoch(0)))
    assert {name: (values.dtype, values.shape[1:]) for name, values in batch.items()} == {
        "event_position": (tf.int64, []),
        "past": (tf.int64, [3]),
        "price": (tf.float32, []),
    }


def test_the_order_follows_from_seed_and_epoch_alone(dataset):
    assert rows_of(stream_of(dataset).epoch(2)) == rows_of(stream_of(dataset).epoch(2))
    orders = [rows_of(stream_of(dataset, seed=seed).epoch(epoch)) for seed in (1, 2) for epoch in (0, 1)]
    assert len({str(order) for order in orders}) == 4


def test_the_order_does_not_depend_on_packing_and_compression(datasets):
    orders = [rows_of(stream_of(dataset).epoch(1)) for dataset in datasets.values()]
    assert all(order == orders[0] for order in orders)


def test_other_rows_meet_in_the_windows_of_another_epoch_of_one_file(tmp_path):
    stream = stream_of(write_dataset(tmp_path / "d", (96,)), 16)
    windows = [{frozenset(batch) for batch in rows_of(stream.epoch(epoch))} for epoch in (0, 1)]
    assert len(windows[0] & windows[1]) < len(windows[0])


def test_files_are_read_in_another_order_in_another_epoch(dataset):
    file_of = np.repeat(np.arange(len(FILES)), FILES)
    firsts = {int(file_of[rows_of(stream_of(dataset, 1, window=1).epoch(epoch))[0][0]]) for epoch in range(6)}
    assert len(firsts) > 1


@pytest.mark.parametrize("skip", [0, 1, 2, 6, 9, 10])
def test_skipping_goes_on_where_the_epoch_would(dataset, skip):
    assert rows_of(stream_of(dataset).epoch(1, skip=skip)) == rows_of(stream_of(dataset).epoch(1))[skip:]


def test_in_order_gives_all_rows_as_they_stand(dataset):
    assert rows_of(stream_of(dataset, 40).in_order()) == [list(range(s, min(s + 40, 100))) for s in (0, 40, 80)]


@pytest.mark.parametrize("skip", [0, 4])
def test_the_cache_changes_no_batch(dataset, skip):
    cached, plain = stream_of(dataset, 30, columns=None, cache="memory"), stream_of(dataset, 30, columns=None)
    for epoch in (0, 1):
        one, other = list(cached.epoch(epoch, skip=skip)), list(plain.epoch(epoch, skip=skip))
        assert len(one) == len(other)
        for batch, expected in zip(one, other, strict=True):
            assert list(batch) == list(expected)
            for name in batch:
                np.testing.assert_array_equal(batch[name].numpy(), expected[name].numpy(), strict=True)
    assert rows_of(cached.in_order()) == rows_of(plain.in_order())


def test_cached_rows_outlive_their_files(datasets, tmp_path):
    copied = DatasetDirectory(shutil.copytree(datasets[8, ""].path, tmp_path / "d"))
    stream = stream_of(copied, cache="memory")
    expected = rows_of(stream.epoch(0))
    shutil.rmtree(copied.path / "train")
    assert rows_of(stream.epoch(0)) == expected


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_forever_is_epoch_after_epoch(dataset, cache):
    stream = stream_of(dataset, 30, cache=cache)
    epochs = [batch for epoch in range(4) for batch in rows_of(stream.epoch(epoch))]
    for start in (3, 5):
        assert rows_of(stream.forever(start).take(9)) == epochs[start : start + 9]


def test_a_function_that_a_worker_runs_holds_no_rows(dataset):
    stream = stream_of(dataset)

    @tf.function(input_signature=[])
    def first_sum():
        return (
            stream.forever(12).take(1).reduce(tf.constant(0, tf.int64), lambda s, b: s + tf.reduce_sum(b[COLUMNS[0]]))
        )

    assert int(first_sum()) == sum(rows_of(stream.epoch(1))[2])
    assert not list(first_sum.get_concrete_function().captured_inputs)
    assert first_sum.get_concrete_function().graph.as_graph_def().ByteSize() < 100_000


# --- Workers --------------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(
    files=st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(any),
    rows_per_record=st.sampled_from([1, 4]),
    batch_size=st.integers(1, 20),
    window=st.integers(1, 40),
    workers=st.integers(1, 3),
    skip=st.integers(0, 5),
    cache=st.sampled_from(["none", "memory"]),
)
def test_workers_have_disjoint_rows_all_together_in_equally_many_steps(
    tmp_path_factory, files, rows_per_record, batch_size, window, workers, skip, cache
):
    dataset = write_dataset(tmp_path_factory.mktemp("d") / "d", files, rows_per_record)
    rows = sum(files)
    options = {"columns": COLUMNS[:1], "window": window, "cache": cache}
    if min(batch_size, rows) < workers:
        with pytest.raises(ConfigError, match=f"cannot be shared by {workers} workers"):
            stream_of(dataset, batch_size, shard=(0, workers), **options)
        return
    streams = [stream_of(dataset, batch_size, shard=(worker, workers), **options) for worker in range(workers)]
    assert {stream.steps_per_epoch for stream in streams} == {-(-rows // batch_size) if batch_size < rows else 1}
    found = [rows_of(stream.epoch(1)) for stream in streams]
    assert sorted(flat(flat(found))) == list(range(rows))
    assert [len(batches) for batches in found] == [streams[0].steps_per_epoch] * workers
    sizes = [sum(map(len, shares)) for shares in zip(*found, strict=True)]
    full = min(batch_size, rows)
    assert sizes == [full] * (rows // full) + [rows % full] * (rows % full > 0)
    for shares in zip(*found, strict=True):
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert rows_of(streams[-1].epoch(1, skip=skip)) == found[-1][skip:]


def test_a_worker_has_the_same_rows_in_every_epoch(dataset):
    stream = stream_of(dataset, shard=(1, 3))
    assert sorted(flat(rows_of(stream.epoch(0)))) == sorted(flat(rows_of(stream.epoch(1))))


# --- Input that is not as it should be ------------------------------------------------------------------------------


def test_an_empty_split_has_no_batches(tmp_path):
    for files in ((), (0, 0)):
        stream = stream_of(write_dataset(tmp_path / str(len(files)), files))
        assert (stream.rows, stream.steps_per_epoch) == (0, 0)
        assert rows_of(stream.epoch(0)) == rows_of(stream.in_order()) == []
        with pytest.raises(DataError, match="empty"):
            stream.forever()


def test_a_column_that_the_records_lack_is_named(datasets):
    with pytest.raises(SchemaError, match="no column 'prize' in the records of train; did you mean 'price'"):
        stream_of(datasets[1, ""], columns=["prize"])


def test_an_absent_file_is_found_before_the_first_batch(datasets, tmp_path):
    copied = DatasetDirectory(shutil.copytree(datasets[1, ""].path, tmp_path / "d"))
    (copied.path / "train" / "part-3.tfrecord").unlink()
    with pytest.raises(ArtifactError, match=r"part-3\.tfrecord: is absent or incomplete"):
        stream_of(copied)


def damage(path, kind):
    """Change the bytes of a file, but not how many there are."""
    content = bytearray(path.read_bytes())
    if kind == "torn":
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    elif kind == "flipped":
        content[len(content) // 2] ^= 255
    elif kind == "other records":
        other = frame_records(pa.table({"x": pa.array([1], pa.int64())}))
        content[:] = other + bytes(len(content) - len(other))
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("kind", ["torn", "flipped", "other records", "gone"])
@pytest.mark.parametrize("cache", ["none", "memory"])
def test_a_file_that_is_damaged_while_training_is_one_clear_data_error(dataset, tmp_path, kind, cache):
    copied = DatasetDirectory(shutil.copytree(dataset.path, tmp_path / "d"))
    stream = stream_of(copied, cache=cache)
    path = next((copied.path / "train").glob("part-1.*"))
    path.unlink() if kind == "gone" else damage(path, kind)
    message = r"part-1\.tfrecord.*: records cannot be read.*rerun the transforms"
    with pytest.raises(DataError, match=message) as caught, stream.explained_errors():
        rows_of(stream.epoch(0))
    assert "\n" not in str(caught.value)


def test_fewer_rows_than_the_manifest_says_are_a_data_error(tmp_path):
    dataset = write_dataset(tmp_path / "d", (20, 20))
    dataset.manifest["files"]["train"][1]["records"] = 31
    stream = stream_of(dataset)
    message = r"part-1\.tfrecord: holds 20 rows, the manifest says 31"
    with pytest.raises(DataError, match=message), stream.explained_errors():
        rows_of(stream.epoch(0))


def test_errors_that_are_not_the_files_fault_pass_unchanged(dataset):
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine"), stream_of(dataset).explained_errors():
        tf.debugging.assert_equal(1, 2, "mine")


def test_skipped_files_are_not_read(datasets, tmp_path):
    failed = {0: 0, 9: 0}
    for number in range(len(FILES)):
        copied = DatasetDirectory(shutil.copytree(datasets[1, ""].path, tmp_path / str(number)))
        damage(copied.path / "train" / f"part-{number}.tfrecord", "torn")
        for skip in failed:
            try:
                rows_of(stream_of(copied).epoch(0, skip=skip))
            except READ_ERRORS:
                failed[skip] += 1
    assert failed[0] == len(FILES)
    assert failed[9] < len(FILES) - 1


def test_given_files_are_counted_and_read_instead_of_the_split(dataset):
    files = [path for path in dataset.files("train") if "part-1." in path or "part-3." in path]
    stream = stream_of(dataset, files=files)
    assert stream.rows == 65
    assert sorted(flat(rows_of(stream.epoch(0)))) == [*range(13, 53), *range(54, 79)]


def test_given_files_of_two_kinds_are_refused(datasets):
    files = [datasets[1, suffix].files("train")[0] for suffix in ("", ".gz")]
    with pytest.raises(DataError, match=r"some files are \.gz and some are not"):
        stream_of(datasets[1, ""], files=files)


def test_a_part_is_read_into_memory_by_column(dataset):
    found = read_part(dataset, "train", ["price", "past"])
    assert list(found) == ["price", "past"]
    expected = read_part(dataset, "train")
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name], strict=True)


def test_stream_and_memory_have_one_shape(dataset):
    memory = Batches(read_part(dataset, "train", COLUMNS), 30, 1)
    stream = stream_of(dataset, 30)
    for name in ("rows", "batch_size", "steps_per_epoch"):
        assert getattr(memory, name) == getattr(stream, name)
    for one, other in zip(memory.in_order(), stream.in_order(), strict=True):
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name].numpy(), other[name].numpy(), strict=True)
