"""Everything that a retrieval model is asked: validation, test, and the parts of test that tell more than its mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from tfrec.dataset.directory import RAW_PREFIX
from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import read_part
from tfrec.metrics.lists import RankedLists
from tfrec.schema import EVENT_TIME_MS, Users, keeps_order
from trainer.data import JobData
from trainer.evaluation.config import EvaluationConfig, Negatives
from trainer.evaluation.draws import uniform
from trainer.evaluation.negatives import Candidates, DrawnCandidates, GivenCandidates
from trainer.evaluation.negatives_file import read_negatives
from trainer.evaluation.queries import (
    EVENT,
    RetrievalQueries,
    reading_training,
    retrieval_queries,
    training_events,
    window_queries,
)

Part = Callable[[RankedLists], RankedLists]


@dataclass(frozen=True)
class QuerySet:
    """Queries under the name that their metrics stand under.

    Attributes:
        name: such as "test".
        meaning: in words, for people.
        queries: one per user.
        candidates: what is ranked instead of the catalogue.
        parts: sets that need no scores of their own: what is left of this set's lists, and its meaning, by name.

    """

    name: str
    meaning: str
    queries: RetrievalQueries
    candidates: Candidates | None = None
    parts: dict[str, tuple[str, Part]] = field(default_factory=dict)


def query_sets(data: JobData, config: EvaluationConfig) -> list[QuerySet]:
    """All sets of a protocol, without the empty ones among the optional.

    Raises:
        DataError: the file of given negatives is not of this dataset.

    """
    test = _of_split(data, config, "test")
    sets = [_of_split(data, config, "validation"), replace(test, parts=_cold_parts(data, test.queries))]
    if data.schema.history is not None and not isinstance(data.schema.split, Users):
        meaning = "the model reads training events alone"
        if counted := [name for name, one in data.schema.features.items() if getattr(one, "so_far", None)]:
            meaning += f", but {', '.join(counted)} as counted before the test event"
        sets.append(QuerySet("test_training_history", meaning, reading_training(data, test.queries)))
    if config.windows:
        sets += _windows(data, config)
    if config.negatives is not None:
        sets.append(_sampled(data, config.negatives, test))
    return [replace(found, queries=_sample(found.queries, config)) for found in sets]


def validation_set(data: JobData, config: EvaluationConfig) -> QuerySet:
    """The set by which settings are chosen."""
    found = _of_split(data, config, "validation")
    return replace(found, queries=_sample(found.queries, config))


def _of_split(data: JobData, config: EvaluationConfig, split: str) -> QuerySet:
    excludes_seen = config.exclude == "seen"
    queries = retrieval_queries(data, split, "at_event", fold_in=config.fold_in, excludes_seen=excludes_seen)
    reads = f"the history up to the user's first {split} event"
    if isinstance(data.schema.split, Users):
        reads = f"the first {config.fold_in:.0%} of the held-out user's events, and is asked for the others"
    elif not keeps_order(data.schema.split):
        reads = "training events alone, since held-out events may lie before them"
    return QuerySet(split, f"the model reads {reads}", queries)


def _cold_parts(data: JobData, test: RetrievalQueries) -> dict[str, tuple[str, Part]]:
    train = data.model_inputs.train
    is_cold_user, is_cold_item = np.diff(train.row_splits) == 0, train.item_counts() == 0

    def cold_users(lists: RankedLists) -> RankedLists:
        return lists.of(is_cold_user[lists.users])

    def cold_items(lists: RankedLists) -> RankedLists:
        wanted = is_cold_item[lists.relevant_items]
        rows = np.repeat(np.arange(len(lists)), lists.relevant_counts)[wanted]
        counts = np.bincount(rows, minlength=len(lists))
        splits = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        colder = RankedLists(lists.users, lists.items, lists.scores, splits, lists.relevant_items[wanted])
        return colder.of(counts > 0)

    parts: dict[str, tuple[str, Part]] = {}
    if is_cold_user[test.users].any():
        parts["test_cold_users"] = ("of test the users without training events", cold_users)
    if is_cold_item[test.relevant_items].any():
        meaning = "of test the items without training events, looked for in the full catalogue"
        parts["test_cold_items"] = (meaning, cold_items)
    return parts


def _windows(data: JobData, config: EvaluationConfig) -> list[QuerySet]:
    times = data.test[EVENT_TIME_MS]
    if not len(times):
        return []
    edges = np.linspace(times.min(), times.max() + 1, config.windows + 1).astype(np.int64)
    found = []
    for number, (start, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True), start=1):
        queries = window_queries(data, (start, end), excludes_seen=config.exclude == "seen")
        meaning = f"test events from {_utc(start)} until {_utc(end)}; what lies before the window is read and seen"
        found.append(QuerySet(f"test_window_{number}", meaning, queries))
    return found


def _sampled(data: JobData, config: Negatives, test: QuerySet) -> QuerySet:
    """The test queries once more, among few candidates."""
    candidates: Candidates
    ties = {"lower_index": "the lower item index", "relevant_first": "the relevant item"}[config.ties]
    if config.file is None:
        taken = _taken(data)
        candidates = DrawnCandidates(config, taken, data.model_inputs.train.item_counts())
        how = f"{config.count} {config.kind} negatives of the user, drawn with seed {config.seed}"
        queries = test.queries
    else:
        user_ids = read_part(data.dataset, "users")[RAW_PREFIX + data.schema.user_id]
        given = read_negatives(config.file, user_ids, data.catalogue.ids)
        candidates = GivenCandidates(given.items, config.ties)
        queries = test.queries.of(given.has_line[test.queries.users])
        without = len(test.queries.users) - len(queries.users)
        left_out = [f"{without:,} users have no line and are left out"] if without else []
        how = "; ".join([f"the negatives of {config.file}", *([given.faults] if given.faults else []), *left_out])
    meaning = f"NOT the full catalogue: the relevant items among {how}; ties go to {ties}"
    return QuerySet("test_sampled", meaning, queries, candidates)


def _taken(data: JobData) -> Interactions:
    parts = [training_events(data), data.validation, data.test]
    together = {name: np.concatenate([part[name] for part in parts]) for name in EVENT}
    return Interactions.from_records(together, data.dataset.rows("users"), data.catalogue.size)


def _sample(queries: RetrievalQueries, config: EvaluationConfig) -> RetrievalQueries:
    return queries if config.users is None else sample_users(queries, config.users.count, config.users.seed)


def sample_users(queries: RetrievalQueries, count: int, seed: int) -> RetrievalQueries:
    """Up to `count` users, those of the smallest hash: sets of the same users give the same sample."""
    if len(queries.users) <= count:
        return queries
    return queries.of(np.sort(np.argsort(uniform(seed, queries.users), kind="stable")[:count]))


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
