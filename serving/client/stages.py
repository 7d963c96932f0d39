"""What every stage of a cascade said of the items of its list."""

from __future__ import annotations

import dataclasses

from serving.client.results import Prediction, Reason, reasons_of
from serving.client.signature import text_of

RANKING = "ranking"  # the last stage: the sources' names are the cascade's own


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

    user: str
    model: str
    version: int
    stages: tuple[str, ...]
    items: tuple[StagedItem, ...]


def staged_of(user: str, model: str, answer: Prediction) -> Staged:
    """The first row of what the signature `stages` answered."""
    row = {name: values[0] for name, values in answer.outputs.items()}
    items = tuple(
        StagedItem(
            item_id=text_of(item_id),
            score=float(row["scores"][i]),
            fused_score=float(row["fused_scores"][i]),
            places=tuple(int(place) or None for place in (*row["source_ranks"][i], row["ranking_places"][i])),
            is_explored=bool(row["is_explored"][i]),
            reasons=reasons_of(row["reasons"][i], row["weights"][i]),
        )
        for i, item_id in enumerate(row["ids"])
        if len(item_id)
    )
    return Staged(user, model, answer.version, (*map(text_of, row["sources"]), RANKING), items)
