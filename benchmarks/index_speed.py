"""`python -m benchmarks.index_speed`: how fast items are found by their vectors, and how many of the right ones.

Top 100 by inner product, one core, one thread, ours inside a signature of a loaded SavedModel. Two sets: `clustered`
items with queries of the same kind, and `hard`, weak clusters with queries from elsewhere. Whole curves, beside a plain
matrix product with top_k, FAISS, which runs outside of TensorFlow, and ScaNN by TensorFlow Recommenders, whose
operations are no part of TensorFlow; both from PyPI in environments below --work-dir. CPU ms are medians too; a
machine that others use stretches the wall times, and the CPU times less.
Markdown on stdout.

example: python -m benchmarks.index_speed --work-dir /tmp/indexes
         python -m benchmarks.index_speed --work-dir /tmp/indexes --items 100000 --sets clustered --peers ''
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.indexes.vectors import SETS, VectorSet
from benchmarks.training.processes import make, pin, run
from benchmarks.training.table import plain_table
from benchmarks.training.venvs import environment

PEERS = ("faiss", "scann")
HEADS = ("side", "recall@100", "one query: p50 ms", "p99 ms", "CPU ms", "× plain", "leaving out none: CPU ms",
         "1,000 items: CPU ms", "batch of 32: p50 ms", "CPU ms", "building, CPU s")  # fmt: skip


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--work-dir", type=Path, required=True, help="for vectors, environments and logs, all kept")
    flags.add_argument("--items", type=int, default=1_000_000)
    flags.add_argument("--dim", type=int, default=64)
    flags.add_argument("--queries", type=int, default=512)
    flags.add_argument("--sets", default=",".join(SETS), help="some of them (default: all)")
    flags.add_argument("--peers", default=",".join(PEERS), help="some of them, or none: '' (default: all)")
    flags.add_argument("--probes", default="1,2,4,8,16,32,64")
    flags.add_argument("--seed", type=int, default=1)
    chosen = flags.parse_args()
    sets, peers = chosen.sets.split(","), [name for name in chosen.peers.split(",") if name]
    for flag, given, known in (("--sets", sets, SETS), ("--peers", peers, PEERS)):
        if unknown := set(given) - set(known):
            flags.error(f"{flag}: {', '.join(sorted(unknown))}; choose of {', '.join(known)}")
    if chosen.items < 20_000 or chosen.queries < 320:
        flags.error("--items: at least 20,000; --queries: at least 320, for ten batches of 32")
    pin(1)
    work = chosen.work_dir.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for kind in sets:
        place = make(
            work / f"{kind}-{chosen.items}-{chosen.dim}-{chosen.queries}-{chosen.seed}",
            lambda target, kind=kind: VectorSet.draw(  # type: ignore[misc]
                kind, chosen.items, chosen.dim, chosen.queries, chosen.seed
            ).write(target),
        )
        rows = _side("benchmarks.indexes.ours", place, work, chosen.probes)
        for peer in peers:
            python = environment(peer, work, Path(__file__).parent / "indexes" / "peers")
            rows += _side(f"benchmarks.indexes.peers.{peer}_search", place, work, chosen.probes, python)
        title = f"{chosen.items:,} items × {chosen.dim}, {kind}, top 100, one core"
        print(plain_table(title, HEADS, [_cells(row, rows[0]["one"]["cpu"]) for row in rows]), flush=True)


def _side(module: str, place: Path, work: Path, probes: str, python: Path | None = None) -> list[dict[str, Any]]:
    print(f"running {module} on {place.name}", file=sys.stderr, flush=True)
    command = ["-m", module, "--set", str(place), "--probes", probes]
    rows: list[dict[str, Any]] = run(command, work / f"{module.rsplit('.', 1)[-1]}.log", python).said["rows"]
    return rows


def _cells(row: dict[str, Any], plain: float) -> tuple[str, ...]:
    one, batch = row["one"], row["batch"]
    return (
        row["side"],
        f"{row['recall']:.3f}",
        *(f"{one[name]:.2f}" for name in ("p50", "p99", "cpu")),
        f"{one['cpu'] / plain:.3f}",
        *(f"{row[name]['cpu']:.2f}" if name in row else "" for name in ("excluding_none", "excluding")),
        *(f"{batch[name]:.1f}" for name in ("p50", "cpu")),
        f"{row['building']:.0f}" if "building" in row else "",
    )


if __name__ == "__main__":
    main()
