"""Trained models → SavedModels of stock TensorFlow ops, which load with TensorFlow alone."""

from tfrec.export.ranking import RankingExport
from tfrec.export.retrieval import RetrievalExport
from tfrec.export.saved_model import ModelCard, next_version, save_version
from tfrec.export.tables import ExportTables

__all__ = ["ExportTables", "ModelCard", "RankingExport", "RetrievalExport", "next_version", "save_version"]
