"""The log, encoded with a contender's vocabularies and reduced to what is compared with its records."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from benchmarks.transforms import fingerprint
from benchmarks.transforms.check_records import FIRST_TOKEN_ID, SPLITS, UNKNOWN_ID, VOCABULARIES, Found

Sampled = tuple[np.ndarray, ...]  # user, item, time, split, row hash


def read_log(
    log: Path, vocabularies: dict[str, list[str]], cuts: tuple[int, int], history: int
) -> tuple[dict[str, Found], dict[str, Counter[str]], float, float]:
    """Return the sums of each split, training counts of all tokens, and moments of the training prices."""
    catalogues = {name: pa.array(tokens, pa.string()) for name, tokens in vocabularies.items()}
    found = {name: Found() for name in SPLITS}
    counts: dict[str, Counter[str]] = {name: Counter() for name in VOCABULARIES}
    prices, total, squares = 0, 0.0, 0.0
    sampled: list[Sampled] = []
    options = pa.csv.ConvertOptions(column_types=dict.fromkeys(VOCABULARIES, pa.string()))
    read_options = pa.csv.ReadOptions(use_threads=False, block_size=16 << 20)
    for batch in pa.csv.open_csv(log, read_options=read_options, convert_options=options):
        ids = [_ids(batch.column(name), catalogues[name]) for name in VOCABULARIES]
        times = batch.column("timestamp").to_numpy() * 1000
        rating, price = batch.column("rating").to_numpy(), batch.column("price").to_numpy()
        split = np.searchsorted(cuts, times, side="right")
        hashes = np.empty(len(split), np.uint64)
        for index, name in enumerate(SPLITS):
            rows = split == index
            hashes[rows] = found[name].add([column[rows] for column in ids], rating[rows], times[rows], price[rows])
        is_train = split == 0
        for name, counter in counts.items():
            for pair in pc.value_counts(batch.column(name).filter(pa.array(is_train))).to_pylist():
                counter[pair["values"]] += pair["counts"]
        prices += int(is_train.sum())
        total += float(price[is_train].sum())
        squares += float(np.square(price[is_train]).sum())
        if history:
            chosen = fingerprint.is_sampled(ids[0], UNKNOWN_ID)
            sampled.append(tuple(column[chosen] for column in (ids[0], ids[1], times, split, hashes)))
    if history:
        _add_histories(found, sampled, history)
    mean = total / prices
    return found, counts, mean, (squares / prices - mean * mean) ** 0.5


def _ids(tokens: pa.Array, catalogue: pa.Array) -> np.ndarray:
    """int64 [rows], the unknown id where the vocabulary lacks a token."""
    dictionary = tokens.dictionary_encode()
    rank = pc.index_in(dictionary.dictionary, value_set=catalogue)
    ids = pc.fill_null(pc.add(rank, FIRST_TOKEN_ID), UNKNOWN_ID).to_numpy().astype(np.int64)
    return ids[dictionary.indices.to_numpy()]


def _add_histories(found: dict[str, Found], sampled: list[Sampled], history: int) -> None:
    """Histories of the sampled users: the items before each row in order of time, then of the log."""
    users, items, times, split, hashes = (np.concatenate(column) for column in zip(*sampled, strict=True))
    order = np.lexsort((times, users))
    users, items, split, hashes = users[order], items[order], split[order], hashes[order]
    for lag in range(1, history + 1):
        rows = np.flatnonzero(users[lag:] == users[:-lag]) + lag
        if not len(rows):
            break
        hashed = fingerprint.history_hashes(hashes[rows], items[rows - lag], np.full(len(rows), lag))
        for index, name in enumerate(SPLITS):
            found[name].add_histories(hashed[split[rows] == index])
