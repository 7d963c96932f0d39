"""tf.train.Example and TFRecord, written from Arrow columns without a Python object per row."""

from tfrec.codec.example import encode_examples
from tfrec.codec.tfrecord import frame_records

__all__ = ["encode_examples", "frame_records"]
