"""Indexes of item vectors, made of TensorFlow operations: from queries to the items with the largest inner products."""

from tfrec.index.choice import choose_index
from tfrec.index.exact import ExactIndex
from tfrec.index.item_index import NO_ITEM, Excluded, ItemIndex, Neighbours
from tfrec.index.ivf import IvfIndex
from tfrec.index.partition import Partition, partition
from tfrec.index.report import Chosen, CurvePoint, IndexConfig, IndexReport
from tfrec.index.top_k import top_places

__all__ = [
    "NO_ITEM",
    "Chosen",
    "CurvePoint",
    "Excluded",
    "ExactIndex",
    "IndexConfig",
    "IndexReport",
    "ItemIndex",
    "IvfIndex",
    "Neighbours",
    "Partition",
    "choose_index",
    "partition",
    "top_places",
]
