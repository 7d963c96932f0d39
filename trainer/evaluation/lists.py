"""A retrieval model's ranked lists, users batch by batch: what is in memory does not grow with users or catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.metrics.full_ranking import full_ranking_auc
from tfrec.metrics.lists import NO_ITEM, RankedLists
from tfrec.metrics.top_k import top_unseen
from tfrec.models.base import RetrievalModel
from trainer.evaluation.negatives import Candidates
from trainer.evaluation.queries import RetrievalQueries

SCORES_AT_ONCE = 1 << 26  # of users × items, 256 MB
CHUNK = 16_384  # users whose lists stand together

Scorer = Callable[[Tensors], tf.Tensor]


class Answers(NamedTuple):
    """Lists of some users, and what only all their scores tell: `auc` of the full ranking. float64 [users]"""

    lists: RankedLists
    values: dict[str, np.ndarray]


def retrieval_scorer(model: RetrievalModel) -> Scorer:
    """A compiled `model.scores`; keep it, so that it is traced once."""
    scorer: Scorer = tf.function(model.scores, reduce_retracing=True, autograph=False)
    return scorer


def ranked_chunks(
    model: RetrievalModel,
    queries: RetrievalQueries,
    scorer: Scorer,
    *,
    length: int,
    batch_size: int,
    candidates: Candidates | None = None,
    has_auc: bool = False,
) -> Iterator[Answers]:
    """Lists of all users in their order, up to `CHUNK` at a time.

    Scores of seen items become −inf before the cut; ties go to the lower item index, or as `candidates` says.

    Args:
        model: refreshed.
        queries: whose lists.
        scorer: of the model.
        length: places of a list; fewer where the catalogue ends.
        batch_size: users that are scored at once, fewer for a huge catalogue.
        candidates: what is ranked instead of the catalogue.
        has_auc: whether `values` has AUC.

    """
    size = queries.seen.num_items
    at_once = max(1, min(batch_size, SCORES_AT_ONCE // max(size, 1)))
    for first in range(0, len(queries.users), CHUNK):
        last = min(first + CHUNK, len(queries.users))
        parts, areas = [], []
        for start in range(first, last, at_once):
            stop = min(start + at_once, last)
            batch = {name: tf.constant(queries.features[name][start:stop]) for name in model.required_features}
            scores = scorer(batch)
            if candidates is None:
                parts.append(_of_catalogue(scores, queries, start, stop, min(length, size)))
            else:
                parts.append(_of_candidates(scores, candidates.of(queries, start, stop), length))
            if has_auc:
                areas.append(_auc(scores, queries, start, stop))
        width = max(items.shape[1] for items, _ in parts)
        lists = RankedLists(
            queries.users[first:last],
            np.concatenate([_widened(items, width, NO_ITEM) for items, _ in parts]),
            np.concatenate([_widened(scores, width, -np.inf) for _, scores in parts]),
            queries.relevant_splits[first : last + 1] - queries.relevant_splits[first],
            queries.relevant_to(first, last),
        )
        yield Answers(lists, {"auc": np.concatenate(areas)} if has_auc else {})


def _of_catalogue(
    scores: tf.Tensor, queries: RetrievalQueries, start: int, stop: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    return top_unseen(scores, *queries.seen.pairs_of(queries.users[start:stop]), length)


def _auc(scores: tf.Tensor, queries: RetrievalQueries, start: int, stop: int) -> np.ndarray:
    seen = queries.seen.pairs_of(queries.users[start:stop])
    rows = np.repeat(np.arange(stop - start), queries.relevant_counts[start:stop])
    return full_ranking_auc(scores, *seen, rows, queries.relevant_to(start, stop))


def _of_candidates(scores: tf.Tensor, candidates: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    found = np.take_along_axis(scores.numpy(), np.maximum(candidates, 0), axis=1)
    found = np.where(candidates == NO_ITEM, np.float32(-np.inf), found)
    order = np.argsort(-found, axis=1, kind="stable")[:, :length]
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(found, order, axis=1)


def _widened(values: np.ndarray, width: int, fill: float) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=fill)
