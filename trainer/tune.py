"""`python -m trainer.tune`: search for the settings with which a model is best on the validation split."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tfrec.command_line import ArgumentParser, at_least, run_command
from tfrec.models.registry import model_names
from trainer.request.environment import local_path
from trainer.request.flags import add_config_flags, one_of, overrides_of
from trainer.request.foreign_flags import refuse_foreign_flags
from trainer.training.interrupt import stop_on_sigterm

EXAMPLE = """\
example: python -m trainer.tune --dataset DATASET --model two_tower --study-dir STUDY --trials 30
         python -m trainer.tune --dataset DATASET --model deepfm --study-dir STUDY --trials 50 --num-epochs 10 \\
             --space 'train.learning_rate=log(1e-4, 1e-1)' --space 'model.embedding_dim=[8, 16, 32]'
         python -m trainer.task --dataset DATASET --model deepfm --job-dir JOB --config STUDY/best.yaml

Trains one job per trial and compares them on the validation split. The same command again goes on with the search.
"""


def parser() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m trainer.tune", example=EXAMPLE)
    flags.add_argument("--dataset", required=True, help="a dataset directory, written by python -m transforms.run")
    flags.add_argument("--model", required=True, help=", ".join(model_names()))
    flags.add_argument("--study-dir", required=True, help="study, a job directory per trial, trials.csv, best.yaml")
    flags.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="KEY=RANGE",
        help="uniform(0, 0.5), log(1e-4, 1e-1), int(8, 64, 8), logint(8, 256) or [a, b, c]; or a YAML file of such "
        "lines; the model's own by default",
    )
    flags.add_argument("--trials", type=at_least(1), default=50, help="in all, those of earlier commands counted")
    flags.add_argument("--timeout-minutes", type=at_least(1), help="stop then; the same command goes on")
    flags.add_argument("--pruner", type=one_of(("median", "hyperband", "none")), default="median")
    flags.add_argument("--jobs", type=at_least(1), default=1, help="trials at once, each in a process of its own")
    flags.add_argument("--json", action="store_true", help="print what was found to stdout")
    add_config_flags(flags)
    return flags


def main(arguments: list[str]) -> None:
    refuse_foreign_flags(arguments)
    flags = parser().parse(arguments)
    overrides = overrides_of(flags)
    from tfrec.console import people_console
    from trainer.search.plan import SearchPlan
    from trainer.search.report import as_json, print_study, write_best, write_trials
    from trainer.search.study import alone, open_study, retry_broken_off
    from trainer.search.work import search

    plan = SearchPlan(
        dataset=local_path("--dataset", flags.dataset),
        model=flags.model,
        directory=Path(local_path("--study-dir", flags.study_dir)),
        given_space=tuple(flags.space),
        config_file=flags.config,
        overrides=overrides,
        seed=flags.seed,
        pruner=flags.pruner,
    )
    console = people_console()
    plan.check()
    plan.claim()
    deadline = time.time() + 60 * flags.timeout_minutes if flags.timeout_minutes else None
    with alone(plan):
        study = open_study(plan)
        again = retry_broken_off(study)
        if again:
            console.print(f"{again} trials were broken off; they go on first", style="dim", highlight=False)
        try:
            search(plan, flags.trials, deadline, flags.jobs, console)
        finally:
            write_trials(study, plan)
            best = write_best(study, plan)
    print_study(console, study, plan)
    if best is not None:
        console.print(f"the best settings: {best}", highlight=False, soft_wrap=True)
    if flags.json:
        json.dump(as_json(study, plan), sys.stdout, indent=2)


if __name__ == "__main__":
    stop_on_sigterm("search")
    sys.exit(run_command(main))
