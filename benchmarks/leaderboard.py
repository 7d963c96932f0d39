"""`python -m benchmarks.leaderboard`: how well our models and other libraries' recommend; Markdown on stdout.

Every model of the registry and the libraries of benchmarks/quality/peers.yaml learn from the same split files, each in
a process of its own; one judge turns all lists into metrics. The others come from PyPI into environments below
--work-dir. Finished cells (model × data set × settings × seed) are kept there and not run again.

example: python -m benchmarks.leaderboard --size ten-minutes --data-dir DATA --work-dir WORK
         python -m benchmarks.leaderboard --size ranking --data-dir DATA --work-dir WORK --datasets census
         python -m benchmarks.leaderboard --size nightly --data-dir DATA --work-dir WORK --datasets ml-100k --peers ''

DATA holds ml-100k/, ml-1m/, ml-1m-sequences/, movietweetings-100k/ and census-income/, as far as they are asked for.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path

from benchmarks.flags import picked
from benchmarks.training import processes


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--size", choices=("ten-minutes", "ranking", "nightly"), default="ten-minutes")
    flags.add_argument("--data-dir", type=Path, help="the folder of the logs' folders")
    flags.add_argument("--work-dir", type=Path, required=True, help="for environments, data and cells, all kept")
    flags.add_argument("--datasets", help="some of them (default: those of the size)")
    flags.add_argument("--models", help="some of ours, or none: '' (default: all)")
    flags.add_argument("--peers", help="some of the other libraries' models, or none: '' (default: all)")
    flags.add_argument("--seeds", type=int, help="instead of the size's")
    flags.add_argument("--trials", type=int, help="instead of the size's; 0 takes the settings of tuned.yaml")
    flags.add_argument("--minutes", type=float, help="of CPU for the trials of one model, instead of the size's")
    flags.add_argument("--threads", type=int, default=1, help="of each side")
    chosen = flags.parse_args()

    from benchmarks.quality.arena import DATASETS, Arena
    from benchmarks.quality.contest import SIZES, compete, write_choices
    from benchmarks.quality.entrants import our_models, peers
    from benchmarks.quality.protocol import protocol, versions
    from benchmarks.quality.tables import tables

    given = {name: getattr(chosen, name) for name in ("seeds", "trials", "minutes")}
    changed = {name: value for name, value in given.items() if value is not None}
    size = dataclasses.replace(SIZES[chosen.size], **changed)
    datasets = [DATASETS[name] for name in picked(flags, "--datasets", chosen.datasets, DATASETS, size.datasets)]
    ours, others = our_models(), peers()
    wanted = {*picked(flags, "--models", chosen.models, [one.name for one in ours]),
              *picked(flags, "--peers", chosen.peers, [one.name for one in others])}  # fmt: skip
    entrants = [one for one in (*ours, *others) if one.name in wanted]
    arena = Arena(chosen.data_dir, chosen.work_dir.resolve())
    for data in datasets:
        if missing := arena.missing_files(data):
            flags.error(f"--datasets {data.name}: {missing[0]} is absent; name the folder of the logs with --data-dir")
    processes.pin(chosen.threads)
    arena.work.mkdir(parents=True, exist_ok=True)
    print(protocol(size, f"python -m benchmarks.leaderboard {shlex.join(sys.argv[1:])}"), flush=True)
    outcomes = []
    for data in datasets:
        outcomes.append(compete(data, entrants, arena, size))
        print(tables(outcomes[-1]), flush=True)
    print(versions(arena, entrants), flush=True)
    write_choices(arena.work / "tuned.yaml", outcomes)
    arena.say(f"the chosen settings are in {arena.work / 'tuned.yaml'}")


if __name__ == "__main__":
    main()
