"""tf.train.Example and TFRecord, written from Arrow columns without a Python object per row."""

from tfrec.codec.example import encode_examples
from tfrec.codec.packed import ROW_LENGTHS, pack_rows
from tfrec.codec.tfrecord import frame_batches, frame_records

__all__ = ["ROW_LENGTHS", "encode_examples", "frame_batches", "frame_records", "pack_rows"]
