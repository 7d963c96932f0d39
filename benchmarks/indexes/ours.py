"""Our side: `python -m benchmarks.indexes.ours --set DIR`; JSON with milliseconds inside a SavedModel signature."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.indexes.clock import timed
from benchmarks.indexes.vectors import DEEPEST, VectorSet, recall
from tfrec.index import ExactIndex, Excluded, IvfIndex, partition
from tfrec.index.limits import usual_lists

import tensorflow as tf  # isort: skip

EXCLUDED = 1000


class PlainIndex(tf.Module):
    """What one writes first: all products, then top_k."""

    def __init__(self, vectors: np.ndarray) -> None:
        super().__init__()
        self.vectors = tf.Variable(vectors, trainable=False)

    def search(self, queries: tf.Tensor, k: tf.Tensor, excluded: Excluded | None = None) -> Any:
        scores = tf.matmul(queries, self.vectors, transpose_b=True)
        if excluded is not None:
            pairs = tf.stack([excluded.rows, excluded.items], axis=1)
            scores = tf.tensor_scatter_nd_update(scores, pairs, tf.fill(tf.shape(excluded.rows), -float("inf")))
        return tuple(tf.math.top_k(scores, k))


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--set", type=Path, required=True)
    flags.add_argument("--queries", type=int, default=200, help="single queries that are timed")
    flags.add_argument("--batches", type=int, default=10, help="of 32")
    flags.add_argument("--probes", default="1,2,4,8,16,32,64")
    flags.add_argument("--lists", type=int)
    flags.add_argument("--kinds", default="plain,exact,bfloat16,ivf")
    chosen = flags.parse_args()
    vectors, kinds, found = VectorSet.read(chosen.set), chosen.kinds.split(","), list[dict[str, Any]]()
    makers: dict[str, Callable[[], Any]] = {
        "plain": lambda: PlainIndex(vectors.items),
        "exact": lambda: ExactIndex(vectors.items),
        "bfloat16": lambda: ExactIndex(vectors.items, "bfloat16"),
    }
    for kind in kinds:
        if kind in makers:
            found.append({"side": kind, **_measure(makers[kind](), vectors, chosen.queries // 4, chosen.batches // 2)})
    if "ivf" in kinds:
        begin = time.process_time()
        parts = partition(vectors.items, chosen.lists or usual_lists(len(vectors.items)))
        building = time.process_time() - begin
        for probes in map(int, chosen.probes.split(",")):
            index = IvfIndex(vectors.items, parts, probes, 2 * DEEPEST)
            measured = _measure(index, vectors, chosen.queries, chosen.batches)
            found.append({"side": f"ivf {len(parts.centres)}/{probes}", "building": building, **measured})
    print(json.dumps({"rows": found}))


def _measure(index: Any, vectors: VectorSet, singles: int, batches: int) -> dict[str, Any]:
    specs = [tf.TensorSpec([None, vectors.items.shape[1]], tf.float32, name="queries")]
    pairs = [tf.TensorSpec([None], tf.int64, name=name) for name in ("rows", "items")]
    plain = tf.function(lambda queries: dict(zip("si", index.search(queries, DEEPEST))), specs, autograph=False)
    without = tf.function(
        lambda queries, rows, items: dict(zip("si", index.search(queries, DEEPEST, Excluded(rows, items)))),
        specs + pairs,
        autograph=False,
    )
    with tempfile.TemporaryDirectory() as scratch:
        tf.saved_model.save(index, scratch, signatures={"plain": plain, "without": without})
        loaded = tf.saved_model.load(scratch)
    search, excluding = loaded.signatures["plain"], loaded.signatures["without"]
    rng = np.random.default_rng(1)
    queries = [tf.constant(query[None]) for query in vectors.queries[:singles]]
    blocks = [tf.constant(vectors.queries[32 * at : 32 * at + 32]) for at in range(batches)]
    many = tf.constant(rng.integers(0, len(vectors.items), EXCLUDED))
    zeros, none = tf.zeros_like(many), many[:0]
    scores = np.concatenate([search(queries=block)["s"] for block in blocks])
    result = {
        "recall": recall(scores, vectors.nearest[: len(scores)]),
        "one": timed(lambda query: search(queries=query), queries),
        "excluding_none": timed(lambda query: excluding(queries=query, rows=none, items=none), queries),
        "excluding": timed(lambda query: excluding(queries=query, rows=zeros, items=many), queries),
        "batch": timed(lambda block: search(queries=block), blocks),
    }
    print(result, file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    main()
