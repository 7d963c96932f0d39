"""ScaNN by TensorFlow Recommenders, inside a signature: `python -m … --set DIR`; JSON with milliseconds."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
import tensorflow_recommenders as tfrs

from benchmarks.indexes.clock import timed
from benchmarks.indexes.vectors import DEEPEST, VectorSet, recall

REORDERED = 1000  # candidates that are scored again in float32


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--set", type=Path, required=True)
    flags.add_argument("--queries", type=int, default=200)
    flags.add_argument("--batches", type=int, default=10)
    flags.add_argument("--probes", default="1,2,4,8,16,32,64")
    flags.add_argument("--lists", type=int, default=1000, help="√n, as ScaNN advises")
    chosen = flags.parse_args()
    vectors, rows = VectorSet.read(chosen.set), list[dict[str, Any]]()
    begin = time.process_time()
    layer = tfrs.layers.factorized_top_k.ScaNN(
        k=DEEPEST,
        num_leaves=chosen.lists,
        num_reordering_candidates=REORDERED,
        parallelize_batch_searches=False,
    )
    layer.index(vectors.items)
    building = time.process_time() - begin
    for probes in map(int, chosen.probes.split(",")):
        measured = _measure(layer, probes, vectors, chosen.queries, chosen.batches)
        rows.append({"side": f"ScaNN (TFRS) {chosen.lists}/{probes}", "building": building, **measured})
    print(json.dumps({"rows": rows}))


def _measure(layer: Any, probes: int, vectors: VectorSet, singles: int, batches: int) -> dict[str, Any]:
    spec = tf.TensorSpec([None, vectors.items.shape[1]], tf.float32, name="queries")
    state = layer._serialized_searcher
    operations = tfrs.layers.factorized_top_k.scann_ops

    def call(queries: tf.Tensor) -> dict[str, tf.Tensor]:
        # As the layer's own call does it; there the number of leaves is fixed when the index is built.
        searcher = operations.searcher_from_module(state)
        found = searcher.search_batched(queries, final_num_neighbors=DEEPEST, leaves_to_search=probes)
        return {"s": found.distances, "i": found.indices}

    module = tf.Module()
    module.state = state
    with tempfile.TemporaryDirectory() as scratch:
        tf.saved_model.save(module, scratch, signatures={"plain": tf.function(call, [spec], autograph=False)})
        loaded = tf.saved_model.load(scratch)
    search = loaded.signatures["plain"]
    blocks = [tf.constant(vectors.queries[32 * at : 32 * at + 32]) for at in range(batches)]
    scores = tf.concat([search(queries=block)["s"] for block in blocks], axis=0).numpy()
    return {
        "recall": recall(scores, vectors.nearest[: len(scores)]),
        "one": timed(lambda q: search(queries=q), [tf.constant(q[None]) for q in vectors.queries[:singles]]),
        "batch": timed(lambda block: search(queries=block), blocks),
    }


if __name__ == "__main__":
    main()
