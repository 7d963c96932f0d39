"""Pieces of the protocol-buffer wire format for many rows at once.

A `Block` is a byte matrix with one row per record; the first `lengths[i]` bytes of row i count. Side by side, blocks
make a record; `join` copies the counting bytes of all of them, row after row, with a single masked selection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """`matrix` uint8 [rows, width]; `lengths` int64 [rows], or None where every row has the full width."""

    matrix: Bytes
    lengths: Ints | None = None

    def row_lengths(self) -> Ints:
        if self.lengths is None:
            return np.full(self.matrix.shape[0], self.matrix.shape[1], dtype=np.int64)
        return self.lengths


def constant(content: bytes, rows: int) -> Block:
    """The same bytes in every row (a view, nothing is copied)."""
    row = np.frombuffer(content, dtype=np.uint8)
    return Block(np.broadcast_to(row, (rows, len(row))))


def varint(values: NDArray[np.integer]) -> Block:
    """Base-128 varints of int64 [rows]; a negative value takes ten bytes, as the wire format says."""
    unsigned = np.ascontiguousarray(values, dtype=np.int64).view(np.uint64)
    largest = int(unsigned.max(initial=0))
    width = max(1, -(-largest.bit_length() // 7))
    if width == 1:
        return Block(unsigned.astype(np.uint8)[:, None])
    lengths = np.ones(len(unsigned), dtype=np.int64)
    for position in range(1, width):
        lengths += unsigned >= np.uint64(1 << (7 * position))
    matrix = np.empty((len(unsigned), width), dtype=np.uint8)
    for position in range(width):
        matrix[:, position] = (unsigned >> np.uint64(7 * position)).astype(np.uint8) & 0x7F
        matrix[:, position] |= ((lengths - 1) > position).astype(np.uint8) << 7
    return Block(matrix, None if int(lengths.min()) == width else lengths)


def varint_size(values: NDArray[np.integer]) -> Ints:
    """Bytes that each varint takes."""
    unsigned = np.ascontiguousarray(values, dtype=np.int64).view(np.uint64)
    sizes = np.ones(len(unsigned), dtype=np.int64)
    for position in range(1, 10):
        limit = np.uint64(1 << (7 * position))
        if not (at_least := unsigned >= limit).any():
            break
        sizes += at_least
    return sizes


def join(blocks: Sequence[Block]) -> tuple[Bytes, Ints]:
    """Return the rows' bytes one after another, and the length of each row."""
    lengths = add_lengths(blocks)
    matrix = np.concatenate([block.matrix for block in blocks], axis=1)
    if all(block.lengths is None for block in blocks):
        return matrix.reshape(-1), lengths
    counts = np.concatenate([_mask(block) for block in blocks], axis=1)
    return matrix[counts], lengths


def add_lengths(blocks: Sequence[Block]) -> Ints:
    """Bytes of each row over all blocks."""
    total = blocks[0].row_lengths().copy()
    for block in blocks[1:]:
        total += block.row_lengths()
    return total


def rows_of(flat: Bytes, lengths: Ints) -> Block:
    """The reverse of `join`: cut `flat` into rows of the given lengths."""
    width = int(lengths.max(initial=0))
    if len(lengths) and int(lengths.min()) == width:
        return Block(flat.reshape(len(lengths), width))
    matrix = np.zeros((len(lengths), width), dtype=np.uint8)
    matrix[np.arange(width) < lengths[:, None]] = flat
    return Block(matrix, lengths)


def sums(values: Ints, row_splits: Ints) -> Ints:
    """Sum of `values` within each row."""
    total = np.concatenate([[0], np.cumsum(values)])
    return total[row_splits[1:]] - total[row_splits[:-1]]


def _mask(block: Block) -> NDArray[np.bool_]:
    if block.lengths is None:
        return np.ones(block.matrix.shape, dtype=bool)
    return np.arange(block.matrix.shape[1]) < block.lengths[:, None]
