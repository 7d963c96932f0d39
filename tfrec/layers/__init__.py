"""Building blocks of the models."""

from tfrec.layers.factorization_machine import factorization_machine
from tfrec.layers.feature_embedding import EmbeddedFeatures, FeatureEmbedding
from tfrec.layers.history_pooling import PositionWeightedPooling
from tfrec.layers.mlp import mlp

__all__ = ["EmbeddedFeatures", "FeatureEmbedding", "PositionWeightedPooling", "factorization_machine", "mlp"]
