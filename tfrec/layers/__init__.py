"""Building blocks of the models."""

from tfrec.layers.dropout import dropout
from tfrec.layers.factorization_machine import factorization_machine
from tfrec.layers.feature_embedding import EmbeddedFeatures, FeatureEmbedding
from tfrec.layers.field_plan import FieldPlan, choose_features
from tfrec.layers.history_pooling import PositionWeightedPooling
from tfrec.layers.id_tables import IdTable
from tfrec.layers.mlp import MLP
from tfrec.layers.tables import TableConfig, TableShape

__all__ = [
    "MLP",
    "EmbeddedFeatures",
    "FeatureEmbedding",
    "FieldPlan",
    "IdTable",
    "PositionWeightedPooling",
    "TableConfig",
    "TableShape",
    "choose_features",
    "dropout",
    "factorization_machine",
]
