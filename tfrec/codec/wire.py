"""Pieces of the protocol-buffer wire format for many rows at once.

`Cells` hold the bytes of one piece (a header, a varint) for every row, side by side in items of one width. `paint`
copies whole items to their places, from left to right: what an item holds behind its own bytes is painted over by the
next piece. That is several times as fast as selecting the bytes that count, and needs no loop over rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

# The most that a painted item reaches behind its own bytes: four lengths of 1 instead of 5 bytes in a header.
SPILL = 16


class Cells(NamedTuple):
    """`items` [n] of any dtype, of whose memory the first bytes count: `sizes` int64 [n], or one number for all."""

    items: NDArray[Any]
    sizes: Ints | int


def varints(values: NDArray[np.integer[Any]]) -> Cells:
    """Base-128 varints of [n] integers; a negative value takes ten bytes, as the wire format says."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low >= 0 and high < 1 << 7:
        return Cells(values.astype(np.uint8), 1)
    if low < 0 or high >= 1 << 56:
        return _ten_bytes(values)
    width = -(-high.bit_length() // 7)
    # Whole words instead of bytes: seven bits of the value to each byte, then the bits that say "more follows".
    word: Any = np.uint32 if width <= 4 else np.uint64
    words = values.astype(word)
    spread = words & word(0x7F)
    more = np.zeros(len(words), np.uint8)
    for position in range(1, width):
        more += (words >= word(1 << (7 * position))).view(np.uint8)
        spread |= (words << word(position)) & word(0x7F << (8 * position))
    continued = np.array([sum(0x80 << (8 * byte) for byte in range(count)) for count in range(width)], word)
    spread |= continued.take(more)
    is_same = len(more) > 0 and int(more.min()) == width - 1
    return Cells(spread, width if is_same else more.astype(np.int64) + 1)


def _ten_bytes(values: NDArray[np.integer[Any]]) -> Cells:
    """Varints of any 64 bits."""
    unsigned = np.ascontiguousarray(values, dtype=np.int64).view(np.uint64)
    sizes = np.ones(len(unsigned), np.int64)
    matrix = np.empty((len(unsigned), 10), np.uint8)
    for position in range(10):
        if position:
            sizes += unsigned >= np.uint64(1 << (7 * position))
        matrix[:, position] = (unsigned >> np.uint64(7 * position)).astype(np.uint8) | 0x80
    matrix[np.arange(len(unsigned)), sizes - 1] &= 0x7F
    return Cells(matrix.view("V10").reshape(-1), sizes)


def table_of(contents: list[bytes]) -> Cells:
    """The strings as cells, each padded to the longest."""
    width = max(map(len, contents))
    sizes = np.array([len(content) for content in contents], np.int64)
    items = np.frombuffer(b"".join(content.ljust(width, b"\0") for content in contents), f"V{width}")
    return Cells(items, int(width) if int(sizes.min()) == width else sizes)


def paint(out: Bytes, positions: Ints, cells: Cells, *, exact: bool) -> None:
    """Copy each item to its position in `out`.

    Args:
        out: the records; at least `SPILL` bytes longer than what counts.
        positions: where each item begins, ascending. int64 [n]
        cells: what to copy. [n]
        exact: copy only the bytes that count; without it, up to `SPILL` bytes behind them are overwritten as well, and
            must be painted later.

    """
    items, sizes = cells
    if not exact:
        sizes = items.itemsize
    if isinstance(sizes, int):
        _window(out, sizes)[positions] = _first_bytes(items, sizes)
        return
    for size, rows in _by_size(sizes):
        _window(out, size)[positions[rows]] = _first_bytes(items[rows], size)


def paint_strings(out: Bytes, positions: Ints, content: Bytes, starts: Ints, sizes: Ints) -> None:
    """Copy `content[starts[i] : starts[i] + sizes[i]]` to `positions[i]`; nothing else is touched."""
    for size, rows in _by_size(sizes):
        _window(out, size)[positions[rows]] = _window(content, size)[starts[rows]]


def ends_of(sizes: Ints | int, count: int) -> Ints:
    """Where each of `count` pieces ends that stand one behind the other from 0. int64 [count]"""
    if isinstance(sizes, int):
        return np.arange(1, count + 1, dtype=np.int64) * sizes
    return np.cumsum(sizes, dtype=np.int64)


def distinct(values: Ints) -> tuple[Ints, Ints]:
    """Ascending distinct values of [n] lengths, and the place of each among them; small ones are not sorted."""
    if len(values) == 0 or int(values.max()) > 4 * len(values):
        return np.unique(values, return_inverse=True)
    occurs = np.bincount(values) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[values]


def _window(flat: Bytes, size: int) -> NDArray[Any]:
    """`size` bytes from every position on, as one item that NumPy copies whole."""
    return np.ndarray((len(flat) - size + 1,), f"V{size}", buffer=flat.data, strides=(1,))


def _first_bytes(items: NDArray[Any], size: int) -> NDArray[Any]:
    if size == items.itemsize:
        return items.view(f"V{size}")
    matrix = np.ascontiguousarray(items).view(np.uint8).reshape(len(items), items.itemsize)
    return np.ascontiguousarray(matrix[:, :size]).view(f"V{size}").reshape(-1)


def _by_size(sizes: Ints) -> Iterator[tuple[int, Ints]]:
    """Each size above 0 that occurs, with the places where it does."""
    order = np.argsort(sizes, kind="stable")
    cuts = np.flatnonzero(np.diff(sizes[order])) + 1
    for rows in np.split(order, cuts):
        if len(rows) and sizes[rows[0]]:
            yield int(sizes[rows[0]]), rows
