"""Choices that all sequence models have; each names the encoder that is its own."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from tfrec.models.sequences.attention import AttentionConfig
from tfrec.models.sequences.encoders import EncoderChoice
from tfrec.models.sequences.item_dropout import ItemDropoutConfig
from tfrec.models.sequences.item_vectors import ItemsConfig
from tfrec.models.sequences.next_context import NextContextConfig
from tfrec.models.sequences.next_item_loss import LossConfig
from tfrec.models.sequences.step_context import ContextConfig


class SequenceConfig(ItemsConfig, ItemDropoutConfig, ContextConfig, NextContextConfig):
    """Of items, of context and time, of what is predicted, and of what reads the sequence."""

    length: int | None = Field(
        None, ge=1, description="events that are read, at most those of the dataset's history; null: those, 200 at most"
    )
    encoder: EncoderChoice = Field(AttentionConfig(), description="what reads the sequence; kind swaps it")
    loss: LossConfig | None = Field(
        None, description="kind says which; null: softmax up to 20,000 items, sampled_softmax above"
    )

    @field_validator("encoder", mode="before")
    @classmethod
    def _of_own_kind_unless_named(cls, given: Any) -> Any:
        """A section without a kind is of the default's, so that one key of it can be set alone."""
        return {"kind": cls.model_fields["encoder"].default.kind, **given} if isinstance(given, dict) else given
