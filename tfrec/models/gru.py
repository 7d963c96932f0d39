r"""A gated recurrent unit over a user's events or a session: GRU4Rec (Hidasi et al. 2016; Hidasi & Karatzoglou 2018).

The encoder is that of `tfrec.models.sequences.recurrent`. Losses are the softmax over all items (the default), or of
the papers: cross-entropy over sampled items, BPR-max and TOP1-max.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tfrec.models.inputs import ModelInputs
from tfrec.models.sequences.encoders import EncoderChoice
from tfrec.models.sequences.recurrent import GruConfig
from tfrec.models.sequences.sequence_config import SequenceConfig
from tfrec.models.sequences.sequence_model import SequenceModel


class GRUConfig(SequenceConfig):
    """Choices of the recurrent model."""

    encoder: EncoderChoice = Field(GruConfig(), description="what reads the sequence; kind swaps it")


class GRU(SequenceModel):
    """A recurrent unit over the history."""

    Config = GRUConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.01)",
        "model.embedding_dim": "[64, 128, 256]",
        "model.encoder.layers": "[1, 2]",
        "model.encoder.dropout": "uniform(0.1, 0.5)",
    }

    def __init__(self, config: GRUConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "gru")
