"""The same records without Beam and without TensorFlow, all in memory: a ceiling, not a way to prepare a dataset.

No bad rows, no statistics, no users and items, no transform for serving: only Arrow, NumPy and this package's encoder.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tfrec.codec import frame_records

VOCABULARIES = ("user_id", "item_id", "device", "country")
SPLITS = ("train", "validation", "test")
UNKNOWN_ID, FIRST_TOKEN_ID = 1, 2
SEED = 1


def read_log(path: str) -> pa.Table:
    token = pa.dictionary(pa.int32(), pa.string())
    return pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(use_threads=False),
        convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(VOCABULARIES, token)),
    ).unify_dictionaries()


def write_dataset(chosen: argparse.Namespace) -> None:
    """Read, encode, shuffle and write."""
    log = read_log(chosen.log)
    times = log.column("timestamp").to_numpy()
    split = np.searchsorted([chosen.validation_from, chosen.test_from], times, side="right")
    is_train = split == 0
    columns: dict[str, np.ndarray | pa.Array] = {}
    for name in VOCABULARIES:
        columns[name] = _ids(log.column(name).combine_chunks(), is_train, chosen.output / "vocabulary" / f"{name}.txt")
    price = log.column("price").to_numpy()
    columns["price"] = ((price - price[is_train].mean()) / price[is_train].std()).astype(np.float32)
    columns["label"] = log.column("rating").to_numpy().astype(np.float32)
    columns["event_time_ms"] = times * 1000
    if chosen.history:
        users = log.column("user_id").combine_chunks().indices.to_numpy()
        order = np.lexsort((times, users))
        columns = {name: column[order] for name, column in columns.items()}
        columns["history"] = _histories(users[order], np.asarray(columns["item_id"]), chosen.history)
        split = split[order]
    records = pa.table(columns)
    rng = np.random.default_rng(SEED)
    for index, name in enumerate(SPLITS):
        rows = rng.permutation(np.flatnonzero(split == index))
        (chosen.output / name).mkdir(parents=True, exist_ok=True)
        shards = chosen.shards if name == "train" else 1
        for shard, chunk in enumerate(np.array_split(rows, shards)):
            content = frame_records(records.take(pa.array(chunk)))
            suffix = ""
            if chosen.compression == "gzip":
                content, suffix = gzip.compress(content, compresslevel=1), ".gz"
            (chosen.output / name / f"part-{shard:05d}.tfrecord{suffix}").write_bytes(content)


def _ids(tokens: pa.DictionaryArray, is_train: np.ndarray, vocabulary: Path) -> np.ndarray:
    """int64 [rows]; also writes the vocabulary, the most frequent token of the training rows first."""
    codes = tokens.indices.to_numpy()
    counts = np.bincount(codes[is_train], minlength=len(tokens.dictionary))
    ranked = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    ids = np.full(len(counts), UNKNOWN_ID, np.int64)
    ids[ranked] = np.arange(len(ranked)) + FIRST_TOKEN_ID
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text("".join(f"{token}\n" for token in tokens.dictionary.take(pa.array(ranked)).to_pylist()))
    return ids[codes]


def _histories(users: np.ndarray, items: np.ndarray, length: int) -> pa.Array:
    """list<int32> [rows] for rows in order of user and time: the `length` items before each."""
    begins = np.flatnonzero(np.diff(users, prepend=-1))
    start = np.repeat(begins, np.diff(np.append(begins, len(users))))
    rows = np.arange(len(users))
    counts = np.minimum(rows - start, length)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    at = np.arange(offsets[-1]) + np.repeat(rows - counts - offsets[:-1], counts)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(items[at].astype(np.int32)))


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--log", required=True)
    flags.add_argument("--output", type=Path, required=True)
    flags.add_argument("--validation-from", type=int, required=True, help="Unix seconds")
    flags.add_argument("--test-from", type=int, required=True, help="Unix seconds")
    flags.add_argument("--history", type=int, default=0)
    flags.add_argument("--shards", type=int, default=1, help="files of the training split")
    flags.add_argument("--compression", choices=("none", "gzip"), default="none")
    write_dataset(flags.parse_args())
