"""Recommendations as the page shows them: with titles, reasons, the stages behind them, and how long each took."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from serving.client import Client, Reason, ScoredItems
from serving.explore.catalogue import Catalogue
from serving.explore.question import Question

CANDIDATES = 100  # of the first stage, where there is a second
SHOWN_REASONS = 3
_EXPLAIN = "explain"

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class ShownReason:
    """A reason: the title of an item of the history, or the reason's own words."""

    words: str
    item_id: str | None
    weight: float


@dataclasses.dataclass(frozen=True)
class ShownItem:
    """One line of a list."""

    place: int
    item_id: str
    title: str
    score: float
    reasons: tuple[ShownReason, ...] = ()
    place_before: int | None = None  # among the candidates
    place_beside: int | None = None  # in the other list


@dataclasses.dataclass(frozen=True)
class Side:
    """What one model, or one model and a ranker, answers."""

    model: str
    version: int
    items: tuple[ShownItem, ...]
    candidates: tuple[ShownItem, ...]  # of the first stage; none where there is one stage
    milliseconds: tuple[tuple[str, float], ...]  # of each call


class _Stopwatch:
    def __init__(self) -> None:
        self.milliseconds: list[tuple[str, float]] = []

    def time(self, what: str, call: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = call()
        self.milliseconds.append((what, (time.perf_counter() - began) * 1e3))
        return result


def answer(client: Client, catalogue: Catalogue, question: Question) -> list[Side]:
    """One side, or two with each item's place in the other. Raises what the client raises."""
    models = [question.left] + ([question.right] if question.right else [])
    sides = [_side(client, catalogue, question, model) for model in models]
    if len(sides) < 2:
        return sides
    places = [{item.item_id: item.place for item in side.items} for side in sides]
    return [
        dataclasses.replace(
            side,
            items=tuple(dataclasses.replace(item, place_beside=other.get(item.item_id)) for item in side.items),
        )
        for side, other in zip(sides, reversed(places), strict=True)
    ]


def titles_of(client: Client, catalogue: Catalogue, model: str, ids: Sequence[str]) -> dict[str, str]:
    """Titles from the dataset, and of what it does not have from the model."""
    found = {item: catalogue.titles[item] for item in ids if item in catalogue.titles}
    missing = [item for item in dict.fromkeys(ids) if item and item not in found]
    return found | dict(zip(missing, client.titles(model, missing), strict=True))


def _side(client: Client, catalogue: Catalogue, question: Question, model: str) -> Side:
    watch = _Stopwatch()
    ranker = question.ranker
    first = watch.time(
        "retrieval" if ranker else "recommend",
        lambda: client.recommend(
            model,
            question.user,
            k=max(question.k, CANDIDATES) if ranker else question.k,
            exclude_seen=not question.includes_seen,
        ),
    )
    best = first
    if ranker and first.ids:
        best = watch.time("ranking", lambda: client.rank(ranker, question.user, first.ids)).first(question.k)
    why: list[tuple[Reason, ...]] = [()] * len(best)
    if _EXPLAIN in client.metadata(model).signatures and best.ids:
        why = watch.time("reasons", lambda: client.explain(model, question.user, best.ids))
    of_reasons = [reason.item_id for reasons in why for reason in reasons if reason.item_id is not None]
    titles = watch.time("titles", lambda: titles_of(client, catalogue, model, [*first.ids, *of_reasons]))
    return Side(
        model=model,
        version=first.version,
        items=_shown(best, titles, why, first if ranker else None),
        candidates=_shown(first, titles) if ranker else (),
        milliseconds=tuple(watch.milliseconds),
    )


def _shown(
    items: ScoredItems,
    titles: dict[str, str],
    why: Sequence[tuple[Reason, ...]] = (),
    before: ScoredItems | None = None,
) -> tuple[ShownItem, ...]:
    places = {item: place for place, item in enumerate(before.ids, start=1)} if before is not None else {}
    reasons = why or [()] * len(items)
    return tuple(
        ShownItem(
            place=place,
            item_id=item,
            title=titles.get(item, ""),
            score=score,
            reasons=tuple(_shown_reason(reason, titles) for reason in of_item[:SHOWN_REASONS]),
            place_before=places.get(item),
        )
        for place, ((item, score), of_item) in enumerate(zip(items, reasons, strict=True), start=1)
    )


def _shown_reason(reason: Reason, titles: dict[str, str]) -> ShownReason:
    item = reason.item_id
    words = reason.label if item is None else titles.get(item) or f"item {item}"
    return ShownReason(words, item, reason.weight)
