"""FAISS, outside of TensorFlow: `python -m benchmarks.indexes.peers.faiss_search --set DIR`; JSON with milliseconds."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import faiss  # type: ignore[import-not-found]

from benchmarks.indexes.clock import timed
from benchmarks.indexes.vectors import DEEPEST, VectorSet, recall


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--set", type=Path, required=True)
    flags.add_argument("--queries", type=int, default=200)
    flags.add_argument("--batches", type=int, default=10)
    flags.add_argument("--probes", default="1,2,4,8,16,32,64")
    flags.add_argument("--lists", type=int, default=2048)
    chosen = flags.parse_args()
    faiss.omp_set_num_threads(1)
    vectors, rows = VectorSet.read(chosen.set), list[dict[str, Any]]()
    flat = faiss.IndexFlatIP(vectors.items.shape[1])
    flat.add(vectors.items)
    rows.append({"side": "FAISS flat", **_measure(flat, vectors, chosen.queries // 4, chosen.batches // 2)})
    begin = time.process_time()
    coarse = faiss.IndexFlatIP(vectors.items.shape[1])
    lists = faiss.IndexIVFFlat(coarse, vectors.items.shape[1], chosen.lists, faiss.METRIC_INNER_PRODUCT)
    lists.cp.spherical, lists.cp.niter, lists.cp.max_points_per_centroid = True, 8, 32  # as ours
    lists.train(vectors.items)
    lists.add(vectors.items)
    building = time.process_time() - begin
    for probes in map(int, chosen.probes.split(",")):
        lists.nprobe = probes
        measured = _measure(lists, vectors, chosen.queries, chosen.batches)
        rows.append({"side": f"FAISS ivf {chosen.lists}/{probes}", "building": building, **measured})
    print(json.dumps({"rows": rows}))


def _measure(index: Any, vectors: VectorSet, singles: int, batches: int) -> dict[str, Any]:
    blocks = [vectors.queries[32 * at : 32 * at + 32] for at in range(batches)]
    scores, _ = index.search(vectors.queries[: 32 * batches], DEEPEST)
    return {
        "recall": recall(scores, vectors.nearest[: len(scores)]),
        "one": timed(lambda query: index.search(query, DEEPEST), [query[None] for query in vectors.queries[:singles]]),
        "batch": timed(lambda block: index.search(block, DEEPEST), blocks),
    }


if __name__ == "__main__":
    main()
