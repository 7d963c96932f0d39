"""Where training rows come from: the files that were chosen, memory or stream, and what is checked in a stream."""

from collections import Counter

import pytest

from tests.trainer.chosen_records import rewrite, setting
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.errors import DataError
from trainer.checks import memory
from trainer.checks.memory import Device, memory_need, require_fit, will_stream
from trainer.cluster.placement import Placement
from trainer.data import JobData
from trainer.request.files import open_dataset
from trainer.training.source import WorkerBatches, open_source

COLUMNS = {"user_index", "item_index", "label", "country"}
STRATEGIES = ("one", "parameter-server")


def source_of(world, dataset, strategy="one", how="stream"):
    config = world.config("deepfm", f"train.input={how}", "train.batch_size=16")
    return open_source(JobData(dataset), COLUMNS, config, Placement(strategy))


def rows_of(batches):
    return Counter(pair for batch in batches for pair in zip(batch["user_index"], batch["item_index"], strict=True))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_stream_serves_every_row_of_the_chosen_files(world, tmp_path, strategy):
    for rows in (30, 50):
        rewrite(world.dataset(), "train", tmp_path / f"{rows}.tfrecord", rows=rows)
    dataset = open_dataset(str(world.dataset()), [str(tmp_path / "*.tfrecord")])
    source = source_of(world, dataset, strategy)
    assert isinstance(source, WorkerBatches) == (strategy == "parameter-server")
    assert (source.rows, source.steps_per_epoch) == (80, 5)
    assert rows_of(source.epoch(0).as_numpy_iterator()) == rows_of([read_part(dataset, "train")])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (setting("label", 3.0, row=37), "row 37 has the label 3"),
        (setting("country", -1, row=5), "row 5 has country -1"),
    ],
)
def test_a_wrong_value_in_a_stream_is_refused_before_the_first_step(world, tmp_path, strategy, change, message):
    path = rewrite(world.dataset(), "train", tmp_path / "a.tfrecord", change, rows=50)
    with pytest.raises(DataError, match=f"train: {message}; allowed: "):
        source_of(world, open_dataset(str(world.dataset()), [path]), strategy)


def test_auto_streams_what_would_take_two_fifths_of_the_free_memory_at_twenty_bytes_a_value(world):
    dataset = DatasetDirectory(world.dataset())
    config = world.config("deepfm")
    values = sum(column.size for name, column in read_part(dataset, "train").items())
    just_enough = 20 * values * 5 // 2
    assert not will_stream(config, dataset, just_enough)
    assert will_stream(config, dataset, just_enough - 3)
    assert will_stream(world.config("deepfm", "train.input=stream"), dataset, just_enough)
    assert not will_stream(world.config("deepfm", "train.input=memory"), dataset, 0)


def test_training_rows_are_counted_where_they_are_held_and_held_where_they_are_counted(world, monkeypatch):
    dataset, config = DatasetDirectory(world.dataset()), world.config("deepfm", "model.embedding_dim=4")
    streamed = memory_need(world.config("deepfm", "model.embedding_dim=4", "train.input=stream"), dataset)
    held = memory_need(world.config("deepfm", "model.embedding_dim=4", "train.input=memory"), dataset)
    for device, expected, kind in (
        (Device("small", streamed.total_bytes), streamed, "StreamBatches"),
        (Device("large", 10**12), held, "Batches"),
    ):
        monkeypatch.setattr(memory, "machine", lambda device=device: device)
        monkeypatch.setattr(memory, "total_memory", lambda device=device: device.free_bytes)
        need = memory_need(config, dataset)
        assert need.data_bytes == expected.data_bytes
        require_fit(config, need)
        assert type(source_of(world, dataset, how="auto")).__name__ == kind
