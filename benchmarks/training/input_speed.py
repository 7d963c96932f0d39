"""`python -m benchmarks.training.input_speed`: rows per second of tf.data alone, from the files of a dataset."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import PARSE_BATCH, Tensors, example_parser, record_dataset
from tfrec.dataset.stream import StreamBatches
from tfrec.schema import EVENT_TIME_MS, LABEL

SEVEN = ("user_id", "item_id", "device", "country", "price", LABEL, EVENT_TIME_MS)


def parsed(dataset: DatasetDirectory, batch_size: int) -> Iterable[Tensors]:
    """The project's parser in file order, cut into batches: no shuffling."""
    rows_per_record = dataset.rows_per_record("train")
    parse = example_parser(dataset.schema, "train", rows_per_record, SEVEN)
    records = record_dataset(dataset.files("train")).batch(max(1, PARSE_BATCH // rows_per_record))
    return records.map(parse, num_parallel_calls=1).rebatch(batch_size).prefetch(4)


def shuffled(dataset: DatasetDirectory, batch_size: int) -> Iterable[Tensors]:
    """What training reads from a split that memory does not hold: shuffled by (seed, epoch)."""
    return StreamBatches(dataset, "train", batch_size, 1, columns=SEVEN).epoch(0)


HOW: dict[str, Callable[[DatasetDirectory, int], Iterable[Tensors]]] = {
    "parsed": parsed,
    "shuffled": shuffled,
}


def drain(batches: Iterable[Tensors], least_seconds: float) -> tuple[int, float, float]:
    """Rows, wall and CPU seconds of as many whole passes as fill the time."""
    rows, begin, begin_cpu = 0, time.perf_counter(), time.process_time()
    while True:
        for batch in batches:
            rows += int(batch[LABEL].shape[0])
        wall = time.perf_counter() - begin
        if wall >= least_seconds:
            return rows, wall, time.process_time() - begin_cpu


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--dataset", type=Path, required=True)
    flags.add_argument("--how", choices=tuple(HOW), required=True)
    flags.add_argument("--batch-size", type=int, default=2048)
    flags.add_argument("--seconds", type=float, default=5)
    chosen = flags.parse_args()
    batches = HOW[chosen.how](DatasetDirectory(chosen.dataset), chosen.batch_size)
    drain(batches, 0)  # the files come into the page cache, the functions are traced
    rows, wall, cpu = drain(batches, chosen.seconds)
    print(json.dumps({"examples_per_second": rows / wall, "examples_per_cpu_second": rows / cpu}))


if __name__ == "__main__":
    main()
