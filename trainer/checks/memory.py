"""The memory that a config needs, from its shapes alone, against what the machine has: before anything is allocated."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import encoded_dtype, list_width
from tfrec.errors import ConfigError
from tfrec.layers.tables import TableShape
from tfrec.models.base import RetrievalModel
from tfrec.models.inputs import id_counts
from tfrec.models.learning import GradientModel, TrainingRows
from tfrec.models.registry import model_class
from tfrec.schema import SequenceFeature, VectorFeature, WeightsFeature
from trainer.config import JobConfig, TrainConfig
from trainer.training.whole_rows import training_rows

# Values that a rule keeps for each weight.
SLOTS = {"adam": 2, "dense_adam": 2, "adagrad": 1, "ftrl": 2, "sgd": 0}
# Copies of a batch's activations: forward, their gradients, and one more on the way.
ACTIVATION_COPIES = 3
# Training rows are held in memory up to this share of what is free ...
SHARE_OF_MEMORY = 0.4
# ... counting what a value takes at the peak of reading: chunks, their concatenation, and what TensorFlow keeps.
PEAK_BYTES = 20
ROWS_OF: dict[TrainingRows, str] = {
    "events": "train",
    "groups": "train",
    "windows": "train",
    "users": "users",
    "items": "items",
}
EVENT_COLUMNS = 5  # user_index, item_index, event_position, event_time_ms and the label


@dataclass(frozen=True)
class TableNeed:
    """Bytes of one table, of what the optimiser keeps for it, and of its average."""

    name: str
    rows: int
    width: int
    table_bytes: int
    optimizer_bytes: int
    average_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.table_bytes + self.optimizer_bytes + self.average_bytes


@dataclass(frozen=True)
class Need:
    """What a job needs, in bytes.

    Attributes:
        tables: those that grow with the data, in the model's order.
        activation_bytes: of one batch, roughly: looked-up vectors, and the logits of a retrieval model.
        data_bytes: the splits as they stand in memory.
        largest_vocabularies: feature → ids, of the three features with most; the rows of the tables come from these.

    """

    tables: tuple[TableNeed, ...]
    activation_bytes: int
    data_bytes: int
    largest_vocabularies: dict[str, int]

    @property
    def table_bytes(self) -> int:
        return sum(table.total_bytes for table in self.tables)

    @property
    def total_bytes(self) -> int:
        return self.table_bytes + self.activation_bytes + self.data_bytes


@dataclass(frozen=True)
class Device:
    """A memory: "machine" or "GPU 0", and how much of it is free."""

    name: str
    free_bytes: int


def memory_need(config: JobConfig, dataset: DatasetDirectory) -> Need:
    """Compute what a job needs from the counts in its dataset's manifest and statistics; no record is read."""
    found, num_items = model_class(config.model_name), dataset.rows("items")
    num_ids = id_counts(dataset)
    shapes = found.table_shapes(config.model, dataset.schema, num_ids, num_items)
    rows = training_rows(config)
    batch = min(config.train.batch_size, max(dataset.rows(ROWS_OF[rows]), 1))
    if rows in ("events", "groups"):
        floats = _values_per_row(config, dataset) * max((shape.dim for shape in shapes), default=0)
        if issubclass(found, RetrievalModel):
            floats += min(batch, num_items)  # logits against the items of the batch
    elif rows == "windows":  # a row is an event of a window, whose logits are made and dropped in chunks
        floats = 0
    else:  # a row is a vector over all items, or users; so is what the model makes of it
        floats = 2 * (num_items if rows == "users" else dataset.rows("users"))
    if issubclass(found, GradientModel):
        floats += found.activations(config.model, dataset.schema)
    is_streamed = rows not in ("groups", "windows") and will_stream(config, dataset)
    kept = ("validation", "test") if is_streamed else ("train", "validation", "test")
    return Need(
        tables=tuple(_table_need(shape, config.train, issubclass(found, GradientModel)) for shape in shapes),
        activation_bytes=4 * ACTIVATION_COPIES * batch * floats if issubclass(found, GradientModel) else 0,
        data_bytes=sum(dataset.rows(split) for split in kept) * row_bytes(dataset),
        largest_vocabularies=dict(sorted(num_ids.items(), key=lambda item: -item[1])[:3]),
    )


def will_stream(config: JobConfig, dataset: DatasetDirectory, memory_bytes: int | None = None) -> bool:
    """Whether training rows come from the files as they are needed, instead of from memory.

    Args:
        config: `train.input` says it; "auto" leaves it to the number of values of the training split, all columns.
        dataset: with the files that the job names.
        memory_bytes: of this machine by default. Not what is free now: the order of the rows depends on the answer, and
            a resumed job must find the same.

    """
    if config.train.input != "auto":
        return config.train.input == "stream"
    if memory_bytes is None:
        memory_bytes = total_memory()
    schema = dataset.schema
    values = sum(list_width(feature) or 1 for feature in schema.encoded.values())
    values += EVENT_COLUMNS + len(schema.extra_fields)
    return PEAK_BYTES * values * dataset.rows("train") > SHARE_OF_MEMORY * memory_bytes


def total_memory() -> int:
    """Bytes of the machine, or of its container where that has less."""
    limit = _text("/sys/fs/cgroup/memory.max")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(total, int(limit)) if limit.strip().isdigit() else total


def row_bytes(dataset: DatasetDirectory) -> int:
    """Bytes of one event in memory: padded lists, int64 ids and indices, float32 numbers."""
    schema = dataset.schema
    features = sum(encoded_dtype(feature).size * (list_width(feature) or 1) for feature in schema.encoded.values())
    return features + 4 * 8 + 4 + 8 * len(schema.extra_fields)


def machine() -> Device:
    """What this process may still take: of the machine, or of its container where that allows less."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):  # what caches give back counts too
            free = 1024 * int(line.split()[1])
    limit, used = _text("/sys/fs/cgroup/memory.max"), _text("/sys/fs/cgroup/memory.current")
    if limit.isdigit() and used.isdigit():
        cached = sum(
            int(line.split()[1])
            for line in _text("/sys/fs/cgroup/memory.stat").splitlines()
            if line.startswith("inactive_file ")
        )
        free = min(free, int(limit) - int(used) + cached)
    return Device("this machine", free)


def smallest_gpu() -> Device | None:
    """The GPU with the least free memory, or None where there is none (or none that nvidia-smi knows)."""
    program = shutil.which("nvidia-smi")
    if program is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    query = [program, "--query-gpu=index,memory.free", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    rows = [line.split(",") for line in answer.stdout.splitlines() if answer.returncode == 0]
    found = [Device(f"GPU {index.strip()}", int(free) << 20) for index, free in rows if free.strip().isdigit()]
    return min(found, key=lambda device: device.free_bytes, default=None)


def require_fit(
    config: JobConfig, need: Need, host: Device | None = None, gpu: Device | None = None, table_shards: int = 1
) -> None:
    """Refuse a job whose tables, activations and data do not fit.

    Args:
        config: what would be trained.
        need: of `memory_need`.
        host: memory that holds the data; this machine's by default.
        gpu: memory that holds the tables, if there is one.
        table_shards: machines over which the tables are divided.

    Raises:
        ConfigError: it would not fit; the largest table, and what makes it smaller.

    """
    host = host or machine()
    on_device = need.table_bytes // table_shards + need.activation_bytes
    if gpu is not None:
        _require(config, need, on_device, gpu)
        on_device = 0
    _require(config, need, on_device + need.data_bytes, host)


def _require(config: JobConfig, need: Need, wanted: int, device: Device) -> None:
    if wanted <= device.free_bytes:
        return
    if need.data_bytes > need.table_bytes + need.activation_bytes:
        cause, way_out = f"the data alone takes {decimal(need.data_bytes)}", "set train.input=stream"
    elif need.activation_bytes > need.table_bytes:
        cause = f"a batch of {config.train.batch_size:,} rows takes {decimal(need.activation_bytes)}"
        way_out = "lower train.batch_size or the widths of the model (model.embedding_dim, model.hidden_units)"
    elif not issubclass(model_class(config.model_name), GradientModel):
        largest = max(need.tables, key=lambda table: table.total_bytes)
        cause = f"its {largest.name} of {largest.rows:,} rows takes {decimal(largest.total_bytes)}"
        way_out = "choose another model, such as item_knn, or raise filters.min_item_events in dataset.yaml"
    else:
        sizes = ", ".join(f"{name} {count:,}" for name, count in need.largest_vocabularies.items())
        cause = f"tables with what the optimiser keeps take {decimal(need.table_bytes)} (most ids: {sizes})"
        way_out = (
            "lower model.embedding_dim, choose train.optimizer=adagrad or sgd, or give such a feature a max_size or "
            "hash_buckets in dataset.yaml"
        )
    raise ConfigError(
        f"{config.model_name} needs about {decimal(wanted)} on {device.name}, which has {decimal(device.free_bytes)} "
        f"free: {cause}; {way_out}"
    )


def _table_need(shape: TableShape, train: TrainConfig, by_gradient: bool) -> TableNeed:
    table_bytes = 4 * shape.rows * shape.dim
    if not (by_gradient and shape.is_trained):
        return TableNeed(shape.name, shape.rows, shape.dim, table_bytes, 0, 0)
    wide = train.wide_optimizer if shape.name.endswith("first_order") else None
    slots = SLOTS[wide.name if wide else train.optimizer]
    # The average of a row is brought up to date when the row is next used: it has to know when that was.
    average_bytes = 0 if train.average_decay is None else table_bytes + 8 * shape.rows
    return TableNeed(shape.name, shape.rows, shape.dim, table_bytes, slots * table_bytes, average_bytes)


def _values_per_row(config: JobConfig, dataset: DatasetDirectory) -> int:
    """Vectors that an example looks up at most: of every feature and cross, and of the sequences that the config reads.

    A precomputed vector is one, however long; weights are none.
    """
    schema, model = dataset.schema, config.model
    named = {*(getattr(model, "features", None) or ())}
    if getattr(model, "use_history", False) and schema.history is not None:
        named.add(schema.history)
    if getattr(model, "history", "none") != "none" and schema.history is not None:
        named.update(schema.side_by_side(schema.history))
    read = {n: f for n, f in schema.encoded.items() if n in named or not isinstance(f, SequenceFeature)}
    weighed = [feature for feature in read.values() if not isinstance(feature, WeightsFeature)]
    values = sum(1 if isinstance(feature, VectorFeature) else list_width(feature) or 1 for feature in weighed)
    crosses = schema.crosses.values() if getattr(model, "crosses", "none") != "none" else ()
    return values + sum(max(list_width(schema.encoded[part]) or 1 for part in cross.of) for cross in crosses)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
