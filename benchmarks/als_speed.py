"""`python -m benchmarks.als_speed`: CPU seconds of a pass of ALS on one core, ours and implicit's; Markdown on stdout.

Both learn from the same pairs of ML-1M. A pass is over users and over items; the difference between runs of few and of
more passes leaves out what is done once. implicit solves either exactly, as ours does, or by three steps of conjugate
gradients, which is its default.

example: python -m benchmarks.als_speed --data-dir DATA --work-dir WORK

DATA holds ml-1m-ncf/ml-1m.train.pairs.tsv.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.training import processes
from benchmarks.training.venvs import environment

PINNED = Path(__file__).parent / "quality" / "peers"
PAIRS = Path("ml-1m-ncf") / "ml-1m.train.pairs.tsv"
SIDES = (
    ("tfrec, exact", "benchmarks.quality.als_passes", ()),
    ("implicit, exact", "benchmarks.quality.peers.implicit_als_passes", ("--exact",)),
    ("implicit, conjugate gradients", "benchmarks.quality.peers.implicit_als_passes", ()),
)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data-dir", type=Path, required=True)
    flags.add_argument("--work-dir", type=Path, required=True, help="for the environment of implicit")
    flags.add_argument("--dims", type=int, nargs="+", default=[64])
    flags.add_argument("--rounds", type=int, default=3, help="of all sides in turn; the least CPU time of each counts")
    chosen = flags.parse_args()
    if not (chosen.data_dir / PAIRS).exists():
        flags.error(f"{chosen.data_dir / PAIRS} is absent; name the folder of the logs with --data-dir")
    processes.pin(1)
    chosen.work_dir.mkdir(parents=True, exist_ok=True)
    other = environment("torch_lists", chosen.work_dir.resolve(), PINNED)
    print("| dim | side | CPU s a pass | × ours |\n|---|---|---|---|")
    for dim in chosen.dims:
        least = dict.fromkeys((name for name, *_ in SIDES), float("inf"))
        for _ in range(chosen.rounds):
            for name, module, more in SIDES:
                command = ["-m", module, "--pairs", str(chosen.data_dir / PAIRS), "--dim", str(dim), *more]
                log = chosen.work_dir / "als_speed.log"
                ran = processes.run(
                    command, log, Path(sys.executable) if module.endswith("quality.als_passes") else other
                )
                least[name] = min(least[name], ran.said["cpu_seconds_a_pass"])
        for name, seconds in least.items():
            print(f"| {dim} | {name} | {seconds:.3f} | {seconds / least[SIDES[0][0]]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
