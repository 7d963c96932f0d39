"""Recommendations as the page shows them: with titles, reasons, the stages behind them, and how long each took."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from serving.client import Client, Reason, ScoredItems, Staged, StagedItem
from serving.explore.catalogue import Catalogue
from serving.explore.question import Question

CANDIDATES = 100  # of the first stage, where there is a second
SHOWN_REASONS = 3
_EXPLAIN, _STAGES = "explain", "stages"  # signatures that not every model has
_BEFORE = "before"  # the ranking: the first model's list

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
    stage_places: tuple[int | None, ...] = ()  # in each of the side's stages; None: it was not found there
    is_explored: bool = False
    place_beside: int | None = None  # in the other list


@dataclasses.dataclass(frozen=True)
class Side:
    """What one model, or one model and a ranker, answers."""

    model: str
    version: int
    items: tuple[ShownItem, ...]
    stages: tuple[str, ...]  # before the list; none where there is one stage
    candidates: tuple[ShownItem, ...]  # as they stood before the ranking; likewise
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
    if question.ranker is None and _STAGES in client.metadata(model).signatures:
        return _side_of_cascade(client, catalogue, question, model)
    watch = _Stopwatch()
    ranker = question.ranker
    # Two models are two requests; asked one by one, so that each one's time is seen.
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
    asked = [*first.ids, *_items_of(why)]
    titles = watch.time("titles", lambda: titles_of(client, catalogue, model, asked))
    before = {item: place for place, item in enumerate(first.ids, start=1)}
    return Side(
        model=model,
        version=first.version,
        items=tuple(
            ShownItem(
                place=place,
                item_id=item,
                title=titles.get(item, ""),
                score=score,
                reasons=_shown_reasons(reasons, titles),
                stage_places=(before.get(item),) if ranker else (),
            )
            for place, ((item, score), reasons) in enumerate(zip(best, why, strict=True), start=1)
        ),
        stages=(_BEFORE,) if ranker else (),
        candidates=_candidates(first, titles) if ranker else (),
        milliseconds=tuple(watch.milliseconds),
    )


def _side_of_cascade(client: Client, catalogue: Catalogue, question: Question, model: str) -> Side:
    """One request has the list, the candidates, what each stage said of them, and the reasons."""
    watch = _Stopwatch()
    found = watch.time(
        "all stages",
        # Its first items do not depend on how many are asked for.
        lambda: client.stages(
            model, question.user, k=max(question.k, CANDIDATES), exclude_seen=not question.includes_seen
        ),
    )
    asked = [*(one.item_id for one in found.items), *_items_of([one.reasons for one in found.items])]
    titles = watch.time("titles", lambda: titles_of(client, catalogue, model, asked))
    return Side(
        model=model,
        version=found.version,
        items=tuple(_staged(place, one, titles) for place, one in enumerate(found.items[: question.k], start=1)),
        stages=found.stages,
        candidates=_before_ranking(found, titles),
        milliseconds=tuple(watch.milliseconds),
    )


def _staged(place: int, item: StagedItem, titles: dict[str, str]) -> ShownItem:
    return ShownItem(
        place=place,
        item_id=item.item_id,
        title=titles.get(item.item_id, ""),
        score=item.score,
        reasons=_shown_reasons(item.reasons, titles),
        stage_places=item.places,
        is_explored=item.is_explored,
    )


def _before_ranking(found: Staged, titles: dict[str, str]) -> tuple[ShownItem, ...]:
    in_order = sorted(found.items, key=lambda item: -item.fused_score)
    return tuple(
        dataclasses.replace(_staged(place, item, titles), score=item.fused_score)
        for place, item in enumerate(in_order, start=1)
    )


def _candidates(items: ScoredItems, titles: dict[str, str]) -> tuple[ShownItem, ...]:
    return tuple(
        ShownItem(place, item, titles.get(item, ""), score) for place, (item, score) in enumerate(items, start=1)
    )


def _items_of(why: Sequence[Sequence[Reason]]) -> list[str]:
    return [reason.item_id for reasons in why for reason in reasons if reason.item_id is not None]


def _shown_reasons(reasons: Sequence[Reason], titles: dict[str, str]) -> tuple[ShownReason, ...]:
    return tuple(_shown_reason(reason, titles) for reason in reasons[:SHOWN_REASONS])


def _shown_reason(reason: Reason, titles: dict[str, str]) -> ShownReason:
    item = reason.item_id
    words = reason.label if item is None else titles.get(item) or f"item {item}"
    return ShownReason(words, item, reason.weight)
