"""The records of one split, reduced to what is compared with the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.transforms import fingerprint

SPLITS = ("train", "validation", "test")
VOCABULARIES = ("user_id", "item_id", "device", "country")
UNKNOWN_ID, FIRST_TOKEN_ID = 1, 2
PARSE_BATCH = 8192
MAX_ORDER_ROWS = 1_000_000  # of a file, to correlate place and time


@dataclass
class Found:
    """Sums over the rows of a split."""

    rows: int = 0
    fingerprint: int = 0
    projection: float = 0.0  # Σ ±1
    price_projection: float = 0.0  # Σ ±price
    history_items: int = 0
    history_fingerprint: int = 0
    first_time: int = 0
    last_time: int = 0
    order_correlation: float = 0.0  # of place and time, in the file where it is largest
    correlation_expected: float = 0.0  # five standard deviations of what shuffled rows have there

    def add(self, ids: Sequence[np.ndarray], rating: np.ndarray, times: np.ndarray, price: np.ndarray) -> np.ndarray:
        """Add rows; return their hashes."""
        hashes = fingerprint.row_hashes([*ids, rating, times])
        direction = fingerprint.signs(hashes)
        self.rows += len(hashes)
        self.fingerprint = (self.fingerprint + fingerprint.total(hashes)) % 2**64
        self.projection += float(direction.sum())
        self.price_projection += float(direction @ price.astype(np.float64))
        return hashes

    def add_histories(self, hashes: np.ndarray) -> None:
        self.history_fingerprint = (self.history_fingerprint + fingerprint.total(hashes)) % 2**64


def read_records(files: Sequence[Path], history: int) -> Found:
    """Parse all files of a split."""
    found = Found()
    for path in files:
        times = []
        for batch in _batches(path, history > 0):
            ids = [batch[name] for name in VOCABULARIES]
            hashes = found.add(ids, batch["label"], batch["event_time_ms"], batch["price"])
            if history:
                _add_histories(found, batch, hashes)
            times.append(batch["event_time_ms"])
        _add_times(found, np.concatenate(times) if times else np.zeros(0, np.int64))
    return found


def _batches(path: Path, has_history: bool) -> Iterator[dict[str, np.ndarray]]:
    specs: dict[str, object] = {name: tf.io.FixedLenFeature([], tf.int64) for name in VOCABULARIES}
    specs["event_time_ms"] = tf.io.FixedLenFeature([], tf.int64)
    specs["label"] = specs["price"] = tf.io.FixedLenFeature([], tf.float32)
    if has_history:
        specs["history"] = tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(serialized, specs)
        if has_history:
            history = parsed.pop("history")
            parsed |= {"items": history.flat_values, "lengths": history.row_lengths()}
        return parsed

    compression = "GZIP" if path.suffix == ".gz" else ""
    dataset = tf.data.TFRecordDataset(str(path), compression_type=compression, buffer_size=1 << 20)
    yield from dataset.batch(PARSE_BATCH).map(parse, num_parallel_calls=1).as_numpy_iterator()


def _add_histories(found: Found, batch: dict[str, np.ndarray], hashes: np.ndarray) -> None:
    lengths = batch["lengths"]
    found.history_items += int(lengths.sum())
    sampled = np.repeat(fingerprint.is_sampled(batch["user_id"], UNKNOWN_ID), lengths)
    lag = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(sampled))
    rows = np.repeat(hashes, lengths)
    found.add_histories(fingerprint.history_hashes(rows[sampled], batch["items"][sampled], lag[sampled]))


def _add_times(found: Found, times: np.ndarray) -> None:
    """Times of one file, in the order of its records."""
    if not len(times):
        return
    first, last = int(times.min()), int(times.max())
    found.first_time = min(found.first_time or first, first)
    found.last_time = max(found.last_time, last)
    seen = times[:: -(-len(times) // MAX_ORDER_ROWS)]
    if len(seen) < 1000 or first == last:
        return
    rank = np.empty(len(seen))
    rank[np.argsort(seen, kind="stable")] = np.arange(len(seen))
    correlation = float(np.corrcoef(np.arange(len(seen)), rank)[0, 1])
    if abs(correlation) > abs(found.order_correlation):
        found.order_correlation = correlation
        found.correlation_expected = float(5 / np.sqrt(len(seen)))
