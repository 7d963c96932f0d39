"""`python -m benchmarks.training_speed`: training and input side by side with other libraries; Markdown on stdout.

Every side is a process of its own, pinned to as many cores as it has threads. The others come from PyPI into
environments below --work-dir, from the pinned lists in benchmarks/training/peers/. Sides take turns over the repeats;
figures are medians, with their range in brackets. Datasets that an earlier run left in --work-dir are used again.

example: python -m benchmarks.training_speed --data-dir ml-100k --work-dir /tmp/speed
         python -m benchmarks.training_speed --work-dir /tmp/speed --what input,tables --repeat 1
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.training import comparisons, processes
from benchmarks.training.workplace import Bench

WHAT: dict[str, Callable[[Bench], str]] = {
    "deepfm": lambda bench: comparisons.ranking(bench, "deepfm"),
    "wide_deep": lambda bench: comparisons.ranking(bench, "wide_deep"),
    "criteo": comparisons.criteo,
    "two_tower": comparisons.two_tower,
    "retrieval": comparisons.retrieval_quality,
    "sequences": comparisons.sequences,
    "input": comparisons.reading,
    "tables": comparisons.tables,
}
PEERS = ("deepctr", "recbole", "tfrs")


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data-dir", type=Path, help="where u.data, u.user and u.item of MovieLens-100K are")
    flags.add_argument("--work-dir", type=Path, required=True, help="for environments, logs and datasets, all kept")
    flags.add_argument("--what", default=",".join(WHAT), help="some of the comparisons (default: all)")
    flags.add_argument("--peers", default=",".join(PEERS), help="some of them, or none: '' (default: all)")
    flags.add_argument("--threads", type=int, default=1, help="of each side")
    flags.add_argument("--repeat", type=int, default=3)
    flags.add_argument("--epochs", type=int, default=21, help="of speed runs on small sets; the first is not counted")
    flags.add_argument("--quality-epochs", type=int, default=12)
    flags.add_argument("--criteo-rows", type=int, default=2_000_000)
    flags.add_argument("--input-rows", type=int, default=2_000_000)
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for our side's jobs")
    chosen = flags.parse_args()
    what, peers = chosen.what.split(","), [name for name in chosen.peers.split(",") if name]
    for flag, given, allowed in (("--what", what, WHAT), ("--peers", peers, PEERS)):
        if unknown := set(given) - set(allowed):
            flags.error(f"{flag}: {', '.join(sorted(unknown))}; choose of {', '.join(allowed)}")
    processes.pin(chosen.threads)
    chosen.work_dir.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        data_dir=chosen.data_dir,
        work=chosen.work_dir.resolve(),
        peers=frozenset(peers),
        repeat=chosen.repeat,
        epochs=chosen.epochs,
        quality_epochs=chosen.quality_epochs,
        criteo_rows=chosen.criteo_rows,
        input_rows=chosen.input_rows,
        settings=tuple(chosen.set),
    )
    for name in what:
        print(WHAT[name](bench), flush=True)


if __name__ == "__main__":
    main()
