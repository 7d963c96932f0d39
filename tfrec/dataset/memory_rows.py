"""Rows in memory, laid out so that fetching scattered ones costs few cache misses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays, Tensors

_INT32 = np.iinfo(np.int32)


class _Block(NamedTuple):
    """Neighbouring columns of a matrix: single-valued ones of one dtype together, or one of several values."""

    names: tuple[str, ...]
    dtype: tf.DType  # as given, and as served
    width: int
    is_single: bool


class MemoryRows:
    """Columns side by side in one matrix, so that a row is one place in memory, not one for every column.

    Integers that fit are stored in 32 bits, next to the bits of the float32 ones; what is served has the dtype that was
    given. Wider integers and strings have a matrix for each dtype.
    """

    def __init__(self, columns: Arrays) -> None:
        """Copy `columns`: name → array [rows] or [rows, width]."""
        self.rows = len(next(iter(columns.values())))
        self._names = tuple(columns)
        self._matrices: list[tuple[tf.Tensor, list[_Block]]] = []
        by_storage: dict[str, list[str]] = {}
        for name, values in columns.items():
            by_storage.setdefault(_storage(values), []).append(name)
        for names in by_storage.values():
            blocks = _blocks({name: columns[name] for name in names})
            parts = [_stored(columns[name]) for block in blocks for name in block.names]
            matrix = np.concatenate([part[:, None] if part.ndim == 1 else part for part in parts], axis=1)
            self._matrices.append((tf.constant(matrix, tf.as_dtype(matrix.dtype)), blocks))

    @tf.autograph.experimental.do_not_convert  # nothing to translate, which takes a while
    def take(self, indices: tf.Tensor) -> Tensors:
        """The rows at `indices` int [n], in this order; name → tensor [n] or [n, width]."""
        found: Tensors = {}
        for matrix, blocks in self._matrices:
            parts = tf.split(tf.gather(matrix, indices), [block.width for block in blocks], axis=1)
            for block, part in zip(blocks, parts, strict=True):
                values = _served(part, block.dtype)
                columns = tf.unstack(values, num=block.width, axis=1) if block.is_single else [values]
                found.update(zip(block.names, columns, strict=True))
        return {name: found[name] for name in self._names}


def _storage(values: np.ndarray) -> str:
    """Columns of equal answers share a matrix."""
    is_word = values.dtype in (np.float32, np.int32) or (values.dtype == np.int64 and _fits(values))
    return "words" if is_word else values.dtype.kind + str(values.dtype.itemsize)


def _fits(values: np.ndarray) -> bool:
    return values.size == 0 or bool(values.min() >= _INT32.min and values.max() <= _INT32.max)


def _stored(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.float32:
        return np.ascontiguousarray(values).view(np.int32)
    return values.astype(np.int32, copy=False) if _storage(values) == "words" else values


def _served(stored: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.bitcast(stored, dtype) if dtype == tf.float32 else tf.cast(stored, dtype)


def _blocks(columns: Arrays) -> list[_Block]:
    single: dict[tf.DType, list[str]] = {}
    for name, values in columns.items():
        if values.ndim == 1:
            single.setdefault(tf.as_dtype(values.dtype), []).append(name)
    blocks = [_Block(tuple(names), dtype, len(names), is_single=True) for dtype, names in single.items()]
    for name, values in columns.items():
        if values.ndim == 2:
            blocks.append(_Block((name,), tf.as_dtype(values.dtype), values.shape[1], is_single=False))
    return blocks
