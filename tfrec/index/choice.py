"""Which index, and how far it looks: tuned on some queries, measured on others, and never worse than was asked for."""

from __future__ import annotations

from typing import Literal, NamedTuple, NoReturn

import numpy as np
import tensorflow as tf
from pydantic import Field, model_validator

from tfrec.config_file import Config
from tfrec.errors import ConfigError
from tfrec.index.exact import ExactIndex, Scoring
from tfrec.index.item_index import ItemIndex
from tfrec.index.ivf import IvfIndex
from tfrec.index.limits import FEWEST_ITEMS, FEWEST_QUERIES, MOST_PROBES, most_probes, usual_lists
from tfrec.index.partition import Partition, partition
from tfrec.index.recall import recall_by_probes, recall_interval

DEEPER = 2  # times k: lists are enough for requests as deep as that, such as k places after as many seen items
QUERIES_AT_ONCE = 16

IndexKind = Literal["exact", "ivf", "auto"]


class IndexConfig(Config):
    """What is wanted of an index."""

    kind: IndexKind = Field("exact", description="auto: ivf where it reaches the recall and is worth it, else exact")
    recall_at_least: float = Field(0.95, gt=0, le=1)
    k: int = Field(100, ge=1, description="places that the recall is of; requests up to twice as deep use the lists")
    lists: int | None = Field(None, ge=1, description="about 2√(number of items) by default")
    probes: int | None = Field(None, ge=1, le=MOST_PROBES, description="lists looked into; tuned by default")
    scoring: Scoring = Field("float32", description="of exact; bfloat16 is faster for batches, where the CPU has it")
    seed: int = 1

    @model_validator(mode="after")
    def _lists_are_of_ivf(self) -> IndexConfig:
        if self.kind == "exact" and (self.lists or self.probes):
            raise ValueError("lists and probes belong to the index ivf; this one is exact")
        return self


class CurvePoint(Config):
    """What looking into so many lists finds, over the queries that were tuned on."""

    probes: int
    recall: float
    recall_deeper: float
    share_scored: float


class IndexReport(Config):
    """What was chosen and how it was measured; goes into the model card."""

    kind: Literal["exact", "ivf"]
    why: str
    num_items: int
    k: int
    recall: float
    recall_low: float
    recall_high: float
    recall_at_least: float
    queries: int
    lists: int | None = None
    probes: int | None = None
    depth: int | None = None
    curve: tuple[CurvePoint, ...] = ()


class Chosen(NamedTuple):
    """An index and what is known of it."""

    index: ItemIndex
    report: IndexReport


class _Nearest(NamedTuple):
    """Scores float32 and items int32 [queries, depth] of an exact search."""

    scores: np.ndarray
    items: np.ndarray


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
        return _ivf(vectors, np.ascontiguousarray(queries, np.float32), config)
    except ConfigError as error:
        if config.kind == "ivf":
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


def _ivf(vectors: np.ndarray, queries: np.ndarray, config: IndexConfig) -> Chosen:
    if len(queries) < 2 * FEWEST_QUERIES:
        raise ConfigError(
            f"index ivf: {len(queries)} sample queries, and {2 * FEWEST_QUERIES} are needed to tune and measure it; "
            "choose exact"
        )
    k = min(config.k, len(vectors))
    depth = min(DEEPER * config.k, len(vectors))
    parts = partition(vectors, config.lists or usual_lists(len(vectors)), config.seed)
    tuned, measured = queries[::2], queries[1::2]
    whole = ExactIndex(vectors)
    curve = _curve(tuned, search_all(whole, tuned, depth).items, parts, k)
    probes = config.probes or _fewest(curve, config.recall_at_least)
    if probes is None:
        _refuse(curve[-1].recall, curve[-1].probes, len(parts.centres), config)
    index = IvfIndex(vectors, parts, probes, depth)
    found, nearest = search_all(index, measured, k), search_all(whole, measured, k)
    recall = recall_interval(found.scores, nearest.scores, config.seed)
    if recall.mean < config.recall_at_least:
        _refuse(recall.mean, probes, len(parts.centres), config)
    report = IndexReport(
        kind="ivf",
        why="as asked for" if config.kind == "ivf" else "reaches the recall",
        num_items=len(vectors),
        k=k,
        recall=recall.mean,
        recall_low=recall.low,
        recall_high=recall.high,
        recall_at_least=config.recall_at_least,
        queries=len(measured),
        lists=len(parts.centres),
        probes=probes,
        depth=depth,
        curve=tuple(curve),
    )
    return Chosen(index, report)


def search_all(index: ItemIndex, queries: np.ndarray, k: int) -> _Nearest:
    """Search for many queries in the graph that is served."""
    search = tf.function(
        lambda block: tuple(index.search(block, k)), [tf.TensorSpec([None, queries.shape[1]])], autograph=False
    )
    found = [search(queries[at : at + QUERIES_AT_ONCE]) for at in range(0, len(queries), QUERIES_AT_ONCE)]
    return _Nearest(*(np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*found, strict=True)))


def _curve(queries: np.ndarray, nearest: np.ndarray, parts: Partition, k: int) -> list[CurvePoint]:
    most = most_probes(len(parts.centres))
    recall = recall_by_probes(queries, nearest[:, :k], parts, most)
    deeper = recall_by_probes(queries, nearest, parts, most)
    order = np.argsort(-(queries @ parts.centres.T), axis=1, kind="stable")[:, :most]
    scored = np.cumsum(np.diff(parts.starts)[order].mean(axis=0)) / len(parts.order)
    return [
        CurvePoint(probes=at + 1, recall=recall[at], recall_deeper=deeper[at], share_scored=scored[at])
        for at in range(most)
    ]


def _fewest(curve: list[CurvePoint], bound: float) -> int | None:
    """The fewest probes that reach the bound at both depths."""
    return next((point.probes for point in curve if min(point.recall, point.recall_deeper) >= bound), None)


def _refuse(recall: float, probes: int, lists: int, config: IndexConfig) -> NoReturn:
    raise ConfigError(
        f"index ivf: recall@{config.k} is {recall:.3f} with {probes} of {lists} lists, and at least "
        f"{config.recall_at_least} was asked for; choose exact or auto, other lists, or a lower recall"
    )
