"""TFRecord frames around encoded records: length, CRC of the length, data, CRC of the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tfrec.codec import wire
from tfrec.codec.example import encode_batches
from tfrec.codec.wire import Bytes, Cells, Ints

HEAD_BYTES = 12  # uint64 length + uint32 masked CRC of it
TAIL_BYTES = 4  # uint32 masked CRC of the data
_MASK_DELTA = np.uint32(0xA282EAD8)


def frame_records(table: pa.Table) -> bytes:
    """Return the content of an uncompressed TFRecord file with one tf.train.Example per row of `table`.

    Raises:
        SchemaError: a column has a type, or a value, that a tf.train.Example cannot hold.

    """
    return b"".join(flat.data for flat in frame_batches(table))


def frame_batches(table: pa.Table) -> Iterator[Bytes]:
    """`frame_records` piece by piece, a few megabytes each: no file is ever whole in memory."""
    for flat, offsets in encode_batches(table, head=HEAD_BYTES, tail=TAIL_BYTES):
        _fill_frames(flat, offsets)
        yield flat


def _fill_frames(flat: Bytes, offsets: Ints) -> None:
    starts, ends = offsets[:-1], offsets[1:]
    lengths = ends - starts - HEAD_BYTES - TAIL_BYTES
    # Few distinct lengths occur, so their CRCs are computed once each.
    distinct, inverse = wire.distinct(lengths)
    length_crcs = np.array([crc32c.crc32c(length.tobytes()) for length in distinct.astype("<u8")], np.uint32)
    view, crc = memoryview(flat.data), crc32c.crc32c
    bounds = zip((starts + HEAD_BYTES).tolist(), (ends - TAIL_BYTES).tolist(), strict=True)
    data_crcs = np.array([crc(view[start:end]) for start, end in bounds], np.uint32)
    head = np.empty(len(starts), [("length", "<u8"), ("crc", "<u4")])
    head["length"], head["crc"] = lengths, _masked(length_crcs)[inverse]
    wire.paint(flat, starts, Cells(head, HEAD_BYTES), exact=True)
    wire.paint(flat, ends - TAIL_BYTES, Cells(_masked(data_crcs), TAIL_BYTES), exact=True)


def _masked(crcs: NDArray[np.uint32]) -> NDArray[Any]:
    rotated = (crcs >> np.uint32(15)) | (crcs << np.uint32(17))
    return (rotated + _MASK_DELTA).astype("<u4")
