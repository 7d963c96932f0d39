"""Building blocks of the models."""

from tfrec.layers.cross_network import CrossNetwork
from tfrec.layers.dropout import dropout
from tfrec.layers.factorization_machine import factorization_machine
from tfrec.layers.feature_embedding import EmbeddedFeatures, FeatureEmbedding
from tfrec.layers.field_plan import FieldPlan, choose_features, with_weights
from tfrec.layers.history_fields import History, HistoryFields
from tfrec.layers.history_pooling import PositionWeightedPooling
from tfrec.layers.id_tables import IdTable
from tfrec.layers.mlp import MLP
from tfrec.layers.tables import TableConfig, TableShape

__all__ = [
    "MLP",
    "CrossNetwork",
    "EmbeddedFeatures",
    "FeatureEmbedding",
    "FieldPlan",
    "History",
    "HistoryFields",
    "IdTable",
    "PositionWeightedPooling",
    "TableConfig",
    "TableShape",
    "choose_features",
    "dropout",
    "factorization_machine",
    "with_weights",
]
