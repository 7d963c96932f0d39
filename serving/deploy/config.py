"""What a deployment is told beyond its jobs; every key has a default."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from tfrec.config_file import Config

DNS_LABEL = r"^[a-z]([a-z0-9-]{0,50}[a-z0-9])?$"
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
GRPC_PORT, REST_PORT = 8500, 8501

DnsLabel = Annotated[str, StringConstraints(pattern=DNS_LABEL)]
# An image's name goes into a Dockerfile's line as it stands.
ImageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi)?$")]


class BatchingConfig(Config):
    """How TensorFlow Serving joins requests; off unless asked for.

    It joins along the first dimension, and pads lists of other lengths with their own first value. That is right for
    `exclude_ids` and `allow_ids`, whose first column is empty, and wrong for a history or candidates that a request
    brings: turn it on where no request does, or where all bring lists of one length.
    """

    enabled: bool = False
    max_batch_size: int = Field(128, ge=1)
    batch_timeout_micros: int = Field(0, ge=0)
    max_enqueued_batches: int = Field(100, ge=1)
    num_batch_threads: int = Field(4, ge=1)


class DeployConfig(Config):
    """One server, or a set of equal ones, for the models of one or several jobs."""

    name: DnsLabel = "recommender"
    namespace: DnsLabel | None = None
    image: ImageName | None = None  # what runs the models; TensorFlow Serving's own of their version by default
    repository: ImageName = "recommender"  # what the image with the models inside is called, without its tag
    claim: DnsLabel | None = None  # a PersistentVolumeClaim that holds <model>/<version>, instead of that image
    min_replicas: int = Field(2, ge=1)
    max_replicas: int = Field(6, ge=1)
    target_cpu_percent: int = Field(70, ge=1, le=100)
    cpu: Quantity = "2"
    memory: Quantity | None = None  # from the size of the models by default
    config_poll_seconds: int = Field(30, ge=1)
    batching: BatchingConfig = BatchingConfig()

    @model_validator(mode="after")
    def _replicas_in_order(self) -> DeployConfig:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas is {self.max_replicas}; allowed: from min_replicas, {self.min_replicas}")
        return self
