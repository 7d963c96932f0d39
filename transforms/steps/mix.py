"""Hashes that are the same on every machine and in every run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def mix64(values: np.ndarray, seed: int) -> np.ndarray:
    """uint64 hash of int64 values: the finaliser of SplitMix64 (Steele et al. 2014) over value and seed."""
    with np.errstate(over="ignore"):
        x = values.astype(np.int64).view(np.uint64) + np.uint64(
            (seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def spread(values: np.ndarray, seed: int, purpose: int) -> np.ndarray:
    """float64 in [0, 1) of int64 values, evenly spread; of two purposes independent, also where a seed is the same."""
    return mix64(mix64(values, seed).view(np.int64), purpose) / 2.0**64


def hash_tokens(tokens: pa.Array, seed: int = 0) -> np.ndarray:
    """uint64 [len(tokens)]: FNV-1a (Fowler, Noll, Vo) of each string's UTF-8 bytes, then `mix64`.

    All strings take a step together, byte by byte, so the cost is that of the longest: ids are short.
    """
    binary = tokens.cast(pa.large_binary())
    ends = np.frombuffer(binary.buffers()[1], np.int64)[binary.offset : binary.offset + len(binary) + 1]
    data = binary.buffers()[2]
    content = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    starts, lengths = ends[:-1], np.diff(ends)
    order = np.argsort(-lengths, kind="stable")  # those that have a byte left stand in front
    starts, sorted_lengths = starts[order], lengths[order]
    ascending = -sorted_lengths
    found = np.full(len(order), 0xCBF29CE484222325, np.uint64)
    with np.errstate(over="ignore"):
        for position in range(int(sorted_lengths[0]) if len(order) else 0):
            count = int(np.searchsorted(ascending, -position, side="left"))
            found[:count] = (found[:count] ^ content[starts[:count] + position]) * np.uint64(0x100000001B3)
    hashes = np.empty(len(order), np.uint64)
    hashes[order] = found
    return mix64(hashes.view(np.int64), seed)
