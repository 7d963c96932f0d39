"""TFRecord frames around encoded records: length, CRC of the length, data, CRC of the data."""

from __future__ import annotations

import crc32c
import numpy as np
import pyarrow as pa

from tfrec.codec.example import encode_examples
from tfrec.codec.wire import Bytes, Ints

HEAD_BYTES = 12  # uint64 length + uint32 masked CRC of it
TAIL_BYTES = 4  # uint32 masked CRC of the data
_MASK_DELTA = np.uint32(0xA282EAD8)


def frame_records(table: pa.Table) -> bytes:
    """Return the content of an uncompressed TFRecord file with one tf.train.Example per row of `table`."""
    flat, offsets = encode_examples(table, head=HEAD_BYTES, tail=TAIL_BYTES)
    if table.num_rows:
        _fill_frames(flat, offsets)
    return flat.tobytes()


def _fill_frames(flat: Bytes, offsets: Ints) -> None:
    starts, ends = offsets[:-1], offsets[1:]
    lengths = (ends - starts - HEAD_BYTES - TAIL_BYTES).astype("<u8")
    # Few distinct lengths occur, so their CRCs are computed once each.
    distinct, inverse = np.unique(lengths, return_inverse=True)
    length_crcs = np.array([crc32c.crc32c(length.tobytes()) for length in distinct], dtype=np.uint32)
    view = memoryview(flat.data)
    crc = crc32c.crc32c
    bounds = zip((starts + HEAD_BYTES).tolist(), (ends - TAIL_BYTES).tolist(), strict=True)
    data_crcs = np.fromiter((crc(view[a:b]) for a, b in bounds), dtype=np.uint32, count=len(starts))
    _write(flat, starts, lengths.view(np.uint8).reshape(-1, 8))
    _write(flat, starts + 8, _masked(length_crcs[inverse]))
    _write(flat, ends - TAIL_BYTES, _masked(data_crcs))


def _masked(crcs: np.ndarray) -> Bytes:
    rotated = (crcs >> np.uint32(15)) | (crcs << np.uint32(17))
    return (rotated + _MASK_DELTA).astype("<u4").view(np.uint8).reshape(-1, 4)


def _write(flat: Bytes, positions: Ints, content: Bytes) -> None:
    flat[positions[:, None] + np.arange(content.shape[1])] = content
