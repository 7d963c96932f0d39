"""Clients of recommender models behind model servers: TensorFlow Serving, or `python -m serving.server`.

`Client` and `AsyncClient` ask over gRPC; those of an `http://…` address ask over REST, and then load no TensorFlow.
"""

from serving.client.async_client import AsyncClient
from serving.client.client import Client
from serving.client.errors import ServingError
from serving.client.options import ClientOptions, Hedging, Retries, Tls
from serving.client.results import ModelMetadata, Prediction, Reason, ScoredBatch, ScoredItems, VersionState
from serving.client.stages import Staged, StagedItem

__all__ = [
    "AsyncClient",
    "Client",
    "ClientOptions",
    "Hedging",
    "ModelMetadata",
    "Prediction",
    "Reason",
    "Retries",
    "ScoredBatch",
    "ScoredItems",
    "ServingError",
    "Staged",
    "StagedItem",
    "Tls",
    "VersionState",
]
