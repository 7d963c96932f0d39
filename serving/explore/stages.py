"""A cascade's list with what every stage said of each item, in one request."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.client import Client, ModelMetadata, Reason

STAGES = "stages"  # the signature that cascades of `trainer.export --ranker` have
RANKING = "ranking"


@dataclasses.dataclass(frozen=True)
class StagedItem:
    """An item of the list: what found it, where each stage put it, and why its source did."""

    item_id: str
    score: float
    fused_score: float  # of the sources' lists together, before the ranking
    places: tuple[int | None, ...]  # in each of `Staged.stages`; None: that one did not find it
    is_explored: bool
    reasons: tuple[Reason, ...]


@dataclasses.dataclass(frozen=True)
class Staged:
    """The list, best first. `stages` are the cascade's sources, and the ranking."""

    version: int
    stages: tuple[str, ...]
    items: tuple[StagedItem, ...]


def is_cascade(metadata: ModelMetadata) -> bool:
    """Whether the model says what its stages did."""
    return STAGES in metadata.signatures


def ask_stages(client: Client, model: str, user: str, *, k: int, exclude_seen: bool) -> Staged:
    """Ask a cascade for up to `k` items; its first ones do not depend on how many. Raises what the client raises."""
    signature = client.metadata(model).signatures[STAGES]
    (user_id,) = signature.inputs.keys() - signature.defaults.keys()
    inputs = {user_id: np.array([user], dtype=object), "k": [k], "exclude_seen": [exclude_seen]}
    prediction = client.predict(model, inputs, STAGES)
    row = {name: values[0] for name, values in prediction.outputs.items()}
    items = tuple(
        StagedItem(
            item_id=_text(item_id),
            score=float(row["scores"][i]),
            fused_score=float(row["fused_scores"][i]),
            places=tuple(int(place) or None for place in (*row["source_ranks"][i], row["ranking_places"][i])),
            is_explored=bool(row["is_explored"][i]),
            reasons=_reasons(row["reasons"][i], row["weights"][i]),
        )
        for i, item_id in enumerate(row["ids"])
        if len(item_id)
    )
    return Staged(prediction.version, (*map(_text, row["sources"]), RANKING), items)


def _reasons(labels: Sequence[Any], weights: Sequence[Any]) -> tuple[Reason, ...]:
    return tuple(
        Reason(_text(label), float(weight)) for label, weight in zip(labels, weights, strict=True) if len(label)
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
