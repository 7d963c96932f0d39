"""Losses: of ratings, of pairs, of lists, of a softmax over what was sampled."""

from tfrec.losses.cross_batch_memory import CrossBatchMemory
from tfrec.losses.exclusions import KnownPositives
from tfrec.losses.in_batch import InBatchSoftmax
from tfrec.losses.listwise import listwise_softmax
from tfrec.losses.negative_sampling import negative_sampling
from tfrec.losses.pairwise import bpr, hinge, warp
from tfrec.losses.pointwise import gbce, gbce_beta, logistic, squared, weighted_logistic
from tfrec.losses.sampled import catalogue_softmax, sampled_softmax

__all__ = [
    "CrossBatchMemory",
    "InBatchSoftmax",
    "KnownPositives",
    "bpr",
    "catalogue_softmax",
    "gbce",
    "gbce_beta",
    "hinge",
    "listwise_softmax",
    "logistic",
    "negative_sampling",
    "sampled_softmax",
    "squared",
    "warp",
    "weighted_logistic",
]
