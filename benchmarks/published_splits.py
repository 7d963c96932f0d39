"""`python -m benchmarks.published_splits`: our retrieval models on the files of papers; Markdown on stdout.

Settings are chosen on a cut of the training file, or on the event that the protocol holds back (`--trials N`; without
it they stand in benchmarks/published/chosen.yaml), then the model learns from the whole training file and is tested
once for each seed, by every judgement of the split.
Finished jobs are kept below --work-dir and not run again, whatever the code has become since: take a new one for that.

example: python -m benchmarks.published_splits --data-dir DATA --work-dir WORK
         python -m benchmarks.published_splits --data-dir DATA --work-dir WORK --models als --trials 20 --minutes 15

DATA holds ml-1m-topn/, ml-1m-ncf/, ml-1m-sequences/ and ml-1m/.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import yaml

from benchmarks.flags import picked
from benchmarks.published.splits import SPLITS
from benchmarks.training import processes

CHOSEN = Path(__file__).parent / "published" / "chosen.yaml"
REFERENCE = "ease"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data-dir", type=Path, required=True, help="the folder of the published folders")
    flags.add_argument("--work-dir", type=Path, required=True, help="for datasets, studies and jobs, all kept")
    flags.add_argument("--splits", default=",".join(SPLITS), help="some of them (default: all)")
    flags.add_argument("--models", help="some of chosen.yaml's (default: all)")
    flags.add_argument("--seeds", type=int, default=3)
    flags.add_argument("--trials", type=int, default=0, help="of a search; 0 takes the settings of chosen.yaml")
    flags.add_argument("--minutes", type=int, default=20, help="that the search of a model may take")
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--search-only", action="store_true", help="print what was chosen as YAML, and test nothing")
    chosen = flags.parse_args()

    from benchmarks.published.cells import STARTS_FROM, Finished, Place, finished, model_of, searched
    from benchmarks.published.table import table

    known = yaml.safe_load(CHOSEN.read_text(encoding="utf-8"))
    splits = [SPLITS[name] for name in picked(flags, "--splits", chosen.splits, SPLITS)]
    models = {split.name: picked(flags, "--models", chosen.models, known[split.name]) for split in splits}
    for split in splits:
        if missing := [path for path in split.files(chosen.data_dir) if not path.exists()]:
            flags.error(f"--splits {split.name}: {missing[0]} is absent; name the folder of the data with --data-dir")
        composed = [model for model in models[split.name] if STARTS_FROM in known[split.name][model]]
        if chosen.trials and composed:
            flags.error(f"--models {','.join(composed)}: starts from other rows; search those, and name others here")
    processes.pin(chosen.threads)
    place = Place(chosen.data_dir.resolve(), chosen.work_dir.resolve())
    if not chosen.search_only:
        print(f"Command: `python -m benchmarks.published_splits {shlex.join(sys.argv[1:])}`.\n")
    for split in splits:
        settings = {model: searched(model, split, chosen.trials, chosen.minutes, place) if chosen.trials
                    else known[split.name][model] for model in models[split.name]}  # fmt: skip
        if chosen.search_only:
            print(yaml.safe_dump({split.name: settings}, width=120), flush=True)
            continue
        runs: dict[str, list[list[Finished]]] = {}  # of each seed, by judgement
        for model in settings:
            seeds = range(1, chosen.seeds + 1) if model_of(model, settings[model]).has_seed else (1,)
            runs[model] = [finished(model, settings[model], seed, split, place) for seed in seeds]
        for place_of, judgement in enumerate(split.judgements):
            judged = {model: [found[place_of] for found in of_seeds] for model, of_seeds in runs.items()}
            print(table(judgement, judged, settings, REFERENCE), flush=True)


if __name__ == "__main__":
    main()
