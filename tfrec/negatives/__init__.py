"""What a retrieval model's positives are told apart from."""

from tfrec.negatives.config import NegativesConfig
from tfrec.negatives.kinds import Negatives, NegativeSampler, make_sampler

__all__ = ["NegativeSampler", "Negatives", "NegativesConfig", "make_sampler"]
