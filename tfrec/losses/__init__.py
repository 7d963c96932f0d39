"""Losses of retrieval models."""

from tfrec.losses.exclusions import KnownPositives
from tfrec.losses.in_batch import InBatchSoftmax
from tfrec.losses.sampled import catalogue_softmax, sampled_softmax

__all__ = ["InBatchSoftmax", "KnownPositives", "catalogue_softmax", "sampled_softmax"]
