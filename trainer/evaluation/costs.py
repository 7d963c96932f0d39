"""What a model costs: memory, bytes of the exported state, and the time of one request."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from trainer.data import JobData
from trainer.evaluation.lists import retrieval_scorer
from trainer.evaluation.scores import ranking_scorer

WARM_UP, CALLS = 10, 100
TOP, CANDIDATES = 100, 100
MEANING = (
    f"model_bytes: what the export holds; peak_memory_bytes: of this process so far; latency: {CALLS} requests one "
    f"after another after {WARM_UP} of warm-up, each the best {TOP} items for one user (retrieval) or the scores of "
    f"{CANDIDATES} rows (ranking), in this process, from encoded features"
)


def costs(model: Recommender, data: JobData) -> dict[str, float]:
    """`model_bytes`, `peak_memory_bytes`, `latency_p50_ms` and `latency_p99_ms`, which stand under "cost/"."""
    found: dict[str, float] = {
        "model_bytes": int(sum(np.prod(v.shape, dtype=np.int64) * _width(v) for v in model.state)),
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    request = _request(model, data)
    if request is not None:
        for _ in range(WARM_UP):
            request(0)
        seconds = np.empty(CALLS)
        for call in range(CALLS):
            started = time.perf_counter()
            request(call)
            seconds[call] = time.perf_counter() - started
        found["latency_p50_ms"] = round(1000 * float(np.quantile(seconds, 0.5)), 4)
        found["latency_p99_ms"] = round(1000 * float(np.quantile(seconds, 0.99)), 4)
    return found


def _request(model: Recommender, data: JobData) -> Callable[[int], object] | None:
    """Answer the n-th request; None where there is no record to make one of."""
    records = next((data.split(name) for name in ("test", "validation") if data.dataset.rows(name)), None)
    if records is None:
        return None
    size = len(records["label"])
    rows = 1 if isinstance(model, RetrievalModel) else CANDIDATES
    columns = {name: records[name] for name in model.required_features}

    def features(call: int) -> dict[str, tf.Tensor]:
        at = (call * rows + np.arange(rows)) % size
        return {name: tf.constant(values[at]) for name, values in columns.items()}

    if isinstance(model, RetrievalModel):
        score, top = retrieval_scorer(model), min(TOP, data.catalogue.size)
        return lambda call: tf.math.top_k(score(features(call)), top).indices.numpy()
    assert isinstance(model, RankingModel)
    predict = ranking_scorer(model)
    return lambda call: predict(features(call)).numpy()


def _width(variable: tf.Variable) -> int:
    return int(variable.dtype.size or 0)
