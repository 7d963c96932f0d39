r"""Causal self-attention over a user's events: SASRec (Kang & McAuley 2018) with today's training.

The encoder is that of `tfrec.models.sequences.attention`; the loss is the softmax over all items at every step
(Klenitskiy & Vasilev 2023), or where the catalogue is large one against sampled negatives: with logQ, or gBCE (gSASRec,
Petrov & Macdonald 2023). Every epoch reads each user's whole past, in windows whose borders are drawn anew.
"""

from __future__ import annotations

from typing import Any, ClassVar

from tfrec.models.inputs import ModelInputs
from tfrec.models.sequences.sequence_config import SequenceConfig
from tfrec.models.sequences.sequence_model import SequenceModel


class TransformerConfig(SequenceConfig):
    """Choices of the transformer."""


class Transformer(SequenceModel):
    """Self-attention over the history."""

    Config = TransformerConfig
    training_defaults: ClassVar[dict[str, Any]] = {**SequenceModel.training_defaults, "beta_2": 0.98, "epochs": 36}
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.01)",
        "model.embedding_dim": "[64, 128, 192]",
        "model.encoder.layers": "[1, 2, 3]",
        "model.encoder.dropout": "uniform(0.1, 0.5)",
    }

    def __init__(self, config: TransformerConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "transformer")
