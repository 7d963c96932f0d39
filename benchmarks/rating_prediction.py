"""`python -m benchmarks.rating_prediction`: errors of predicted ratings on MovieLens; Markdown on stdout.

ML-100K in five random folds, ML-1M in three random draws of 90 / 10; all learn from the same split files through the
transforms and the trainer, one judge reads what they predicted. Finished cells (model × split × settings) are kept
below --work-dir and not run again, whatever the code has become since: take a new one for that.

example: python -m benchmarks.rating_prediction --data-dir DATA --work-dir WORK
         python -m benchmarks.rating_prediction --data-dir DATA --work-dir WORK --logs ml-100k --models als --trials 20

DATA holds ml-100k/u.data and ml-1m/ratings-no-timestamp.dat.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.flags import picked
from benchmarks.ratings.splits import LOGS
from benchmarks.training import processes


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data-dir", type=Path, required=True, help="the folder of the logs' folders")
    flags.add_argument("--work-dir", type=Path, required=True, help="for splits, datasets and cells, all kept")
    flags.add_argument("--logs", default=",".join(LOGS), help="some of them (default: all)")
    flags.add_argument("--models", help="some of models.yaml (default: all)")
    flags.add_argument("--splits", type=int, help="only the first ones")
    flags.add_argument("--trials", type=int, default=0, help="of a search; 0 takes the settings of models.yaml")
    flags.add_argument("--threads", type=int, default=1)
    chosen = flags.parse_args()

    from benchmarks.ratings.cells import Place, finished, ratings_of, searched
    from benchmarks.ratings.entrants import entrants
    from benchmarks.ratings.judge import BASELINES, errors
    from benchmarks.ratings.table import row, title

    known = entrants()
    logs = [LOGS[name] for name in picked(flags, "--logs", chosen.logs, LOGS)]
    models = {name: known[name] for name in picked(flags, "--models", chosen.models, known)}
    for log in logs:
        if not (path := chosen.data_dir / log.name / log.file).exists():
            flags.error(f"--logs {log.name}: {path} is absent; name the folder of the logs with --data-dir")
    processes.pin(chosen.threads)
    place = Place(chosen.data_dir.resolve(), chosen.work_dir.resolve())
    place.work.mkdir(parents=True, exist_ok=True)
    print(f"Command: `python -m benchmarks.rating_prediction {shlex.join(sys.argv[1:])}`, {chosen.threads} core(s).\n")
    for log in logs:
        numbers = range(1, min(chosen.splits or log.splits, log.splits) + 1)
        pairs = [ratings_of(log, number, place) for number in numbers]
        plain = {name: [asdict(errors(*pair, answer(*pair))) for pair in pairs] for name, answer in BASELINES.items()}
        print(title(log.name, log.meaning, [result["unseen"] for result in plain["item mean"]]), flush=True)
        for name, model in models.items():
            if model.logs is not None and log.name not in model.logs:
                continue
            settings = model.on(log.name)
            if chosen.trials and model.space:
                settings = {**model.settings, **searched(name, model, log, chosen.trials, place)}
            results = [finished(name, model, settings, log, number, place) for number in numbers]
            print(row(model.title, results), flush=True)
        for name, results in plain.items():
            print(row(name, results), flush=True)
        print()


if __name__ == "__main__":
    main()
