"""Which index, and how far it looks: tuned on some queries, measured on others, and never worse than was asked for."""

from __future__ import annotations

from typing import Literal, NoReturn

import numpy as np

from tfrec.errors import ConfigError
from tfrec.index.exact import ExactIndex
from tfrec.index.limits import FEWEST_ITEMS, FEWEST_QUERIES, usual_lists, usual_scann_lists
from tfrec.index.recall import recall_interval
from tfrec.index.report import Chosen, CurvePoint, IndexConfig, IndexReport
from tfrec.index.tuning import IvfLists, Lists, TunedScann, search_all

Kind = Literal["ivf", "scann"]

DEEPER = 2  # times k: lists are enough for requests as deep as that, such as k places after as many seen items


def choose_index(vectors: np.ndarray, queries: np.ndarray, config: IndexConfig) -> Chosen:
    """Build the index that is asked for.

    Every second query is tuned on, the others say what the recall is.

    Args:
        vectors: of the items. float32 [num_items, dim]
        queries: as they will be asked, in no particular order. float32 [num_queries, dim]
        config: what is wanted.

    Raises:
        ConfigError: lists do not reach the recall, or there are too few queries to tell, and `kind` is not `auto`.
        DataError: a vector is not finite.

    """
    if config.kind == "exact":
        return _exact(vectors, config, "as asked for")
    if config.kind == "auto" and len(vectors) < FEWEST_ITEMS:
        return _exact(vectors, config, f"fewer than {FEWEST_ITEMS} items")
    try:
        return _listed(vectors, np.ascontiguousarray(queries, np.float32), config)
    except ConfigError as error:
        if config.kind != "auto":
            raise
        return _exact(vectors, config, str(error))


def _exact(vectors: np.ndarray, config: IndexConfig, why: str) -> Chosen:
    report = IndexReport(
        kind="exact",
        why=why,
        num_items=len(vectors),
        k=config.k,
        recall=1.0,
        recall_low=1.0,
        recall_high=1.0,
        recall_at_least=config.recall_at_least,
        queries=0,
    )
    return Chosen(ExactIndex(vectors, config.scoring), report)


def _listed(vectors: np.ndarray, queries: np.ndarray, config: IndexConfig) -> Chosen:
    kind: Kind = "scann" if config.kind == "scann" else "ivf"
    if len(queries) < 2 * FEWEST_QUERIES:
        raise ConfigError(
            f"index {kind}: {len(queries)} sample queries, and {2 * FEWEST_QUERIES} are needed to tune and measure it; "
            "choose exact"
        )
    k = min(config.k, len(vectors))
    depth = min(DEEPER * config.k, len(vectors))
    lists: Lists
    if kind == "scann":
        lists = TunedScann(vectors, config.lists or usual_scann_lists(len(vectors)), depth)
    else:
        lists = IvfLists(vectors, config.lists or usual_lists(len(vectors)), depth, config.seed)
    tuned, measured = queries[::2], queries[1::2]
    whole = ExactIndex(vectors)
    curve = lists.curve(tuned, search_all(whole, tuned, depth), k)
    probes = config.probes or _fewest(curve, config.recall_at_least)
    if probes is None:
        _refuse(kind, curve[-1].recall, curve[-1].probes, lists.count, config)
    index = lists.index(probes)
    found, nearest = search_all(index, measured, k), search_all(whole, measured, k)
    recall = recall_interval(found.scores, nearest.scores, config.seed)
    if recall.mean < config.recall_at_least:
        _refuse(kind, recall.mean, probes, lists.count, config)
    report = IndexReport(
        kind=kind,
        why="reaches the recall" if config.kind == "auto" else "as asked for",
        num_items=len(vectors),
        k=k,
        recall=recall.mean,
        recall_low=recall.low,
        recall_high=recall.high,
        recall_at_least=config.recall_at_least,
        queries=len(measured),
        lists=lists.count,
        probes=probes,
        depth=depth,
        curve=tuple(curve),
        needs=lists.needs,
    )
    return Chosen(index, report)


def _fewest(curve: list[CurvePoint], bound: float) -> int | None:
    """The fewest probes that reach the bound at both depths."""
    return next((point.probes for point in curve if min(point.recall, point.recall_deeper) >= bound), None)


def _refuse(kind: Kind, recall: float, probes: int, lists: int, config: IndexConfig) -> NoReturn:
    raise ConfigError(
        f"index {kind}: recall@{config.k} is {recall:.3f} with {probes} of {lists} lists, and at least "
        f"{config.recall_at_least} was asked for; choose exact or auto, other lists, or a lower recall"
    )
