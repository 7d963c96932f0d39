r"""Causal self-attention over a user's events: SASRec (Kang & McAuley 2018) with today's training.

The encoder is that of `tfrec.models.sequences.attention`; the loss is the softmax over all items at every step
(Klenitskiy & Vasilev 2023), or where the catalogue is large one against sampled negatives: with logQ, or gBCE (gSASRec,
Petrov & Macdonald 2023). Every epoch reads each user's whole past, in windows whose borders are drawn anew.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from tfrec.models.inputs import ModelInputs
from tfrec.models.sequences.attention import AttentionConfig
from tfrec.models.sequences.encoders import EncoderChoice
from tfrec.models.sequences.sequence_model import SequenceConfig, SequenceModel, with_kind


class TransformerConfig(SequenceConfig):
    """Choices of the transformer."""

    encoder: EncoderChoice = Field(AttentionConfig(), description="what reads the sequence; kind swaps it")

    @field_validator("encoder", mode="before")
    @classmethod
    def _attention_unless_named(cls, given: Any) -> Any:
        return with_kind(given, "attention")


class Transformer(SequenceModel):
    """Self-attention over the history."""

    Config = TransformerConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 6400,
        "learning_rate": 0.003,
        "beta_2": 0.98,
        "schedule": {"kind": "cosine", "warmup_steps": 200},
        "clip_norm": 1.0,
        "epochs": 36,
        "patience": 10,
    }
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.01)",
        "model.embedding_dim": "[64, 128, 192]",
        "model.encoder.layers": "[1, 2, 3]",
        "model.encoder.dropout": "uniform(0.1, 0.5)",
    }

    def __init__(self, config: TransformerConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "transformer")
