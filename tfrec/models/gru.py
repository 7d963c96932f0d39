r"""A gated recurrent unit over a user's events or a session: GRU4Rec (Hidasi et al. 2016; Hidasi & Karatzoglou 2018).

The encoder is that of `tfrec.models.sequences.recurrent`. Losses are the softmax over all items (the default), or of
the papers: cross-entropy over sampled items, BPR-max and TOP1-max.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from tfrec.models.inputs import ModelInputs
from tfrec.models.sequences.encoders import EncoderChoice
from tfrec.models.sequences.recurrent import GruConfig
from tfrec.models.sequences.sequence_model import SequenceConfig, SequenceModel, with_kind


class GRUConfig(SequenceConfig):
    """Choices of the recurrent model."""

    encoder: EncoderChoice = Field(GruConfig(), description="what reads the sequence; kind swaps it")

    @field_validator("encoder", mode="before")
    @classmethod
    def _gru_unless_named(cls, given: Any) -> Any:
        return with_kind(given, "gru")


class GRU(SequenceModel):
    """A recurrent unit over the history."""

    Config = GRUConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 6400,
        "learning_rate": 0.003,
        "schedule": {"kind": "cosine", "warmup_steps": 200},
        "clip_norm": 1.0,
        "epochs": 40,
        "patience": 10,
    }
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.01)",
        "model.embedding_dim": "[64, 128, 256]",
        "model.encoder.layers": "[1, 2]",
        "model.encoder.dropout": "uniform(0.1, 0.5)",
    }

    def __init__(self, config: GRUConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "gru")
