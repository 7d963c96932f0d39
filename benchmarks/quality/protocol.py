"""What stands above and below the tables: how it was measured, and with which versions."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Collection
from importlib.metadata import version

from benchmarks.quality.arena import HERE, Arena
from benchmarks.quality.contest import Size
from benchmarks.quality.entrants import Entrant
from benchmarks.training.venvs import PINNED

OURS = ("tensorflow", "tf-keras", "tensorflow-recommenders", "numpy", "scipy")
MAIN = ("implicit", "lenskit", "recbole", "torch", "deepctr", "tensorflow", "tensorflow-recommenders", "numpy", "scipy")
RULES = """\
**Protocol of retrieval.** Leave-one-out by time: each user's last event is test, the one before validation (users with
fewer than 3 events only train), ties in time in file order. All models learn from the training events alone. The full
catalogue is ranked without the user's training items, for test without the validation item too; a list has 100 places.
`NDCG@10`: a model may read the validation item when it answers, as far as its library can (the histories and profiles
of ours, the neighbours and ALS of implicit and LensKit; not BPR, the TFRS tutorial, or RecBole). `training history`: it
reads training events alone. One relevant item a user, so HR@10 is the recall.

**Protocol of ranking.** MovieLens: random 80/10/10 split of the events by a hash, label rating ≥ 4, features user,
item, age, gender, occupation, genres. Census income: the published files of train and test, a tenth of train for
validation, label above $50K, all columns but fnlwgt, numbers also in buckets; models of ours with first-order weights
read the preset's three crosses as well. Each library chooses its epoch on validation.

**Intervals** are of 95 %, over users and, with several seeds, over seeds. Differences are paired by user, of
means over the seeds, which they do not draw again; those of a retrieval table hold together with 95 %, and their p is
adjusted for all rows (Westfall & Young). For AUC and log loss, users are drawn again with all their events, of census
income single rows, and seeds are not."""


def protocol(size: Size, command: str) -> str:
    """Command, date, machine, budget and rules."""
    bound = f", or where they took {size.minutes:g} minutes of CPU" if math.isfinite(size.minutes) else ""
    budget = (
        f"{size.trials} settings of each model are tried on validation with seed 1 (the defaults, then random draws; "
        f"fewer where there are no more{bound})"
        if size.trials
        else "settings of benchmarks/quality/tuned.yaml, which an earlier search chose on validation; else the defaults"
    )
    return (
        f"Command: `{command}`. Date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d}. "
        f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} core(s). "
        f"Seeds 1 to {size.seeds}; {budget}.\n\n{RULES}\n"
    )


def versions(arena: Arena, entrants: Collection[Entrant]) -> str:
    """Ours as installed, the others' as pinned."""
    lines = ["ours: " + ", ".join(f"{name} {version(name)}" for name in OURS)]
    for name in sorted({one.environment for one in entrants if one.environment} - set(arena.absent)):
        place = next(folder for folder in (HERE / "peers", PINNED) if (folder / f"{name}.txt").exists())
        pinned = dict(
            line.split("==")
            for line in (place / f"{name}.txt").read_text(encoding="utf-8").splitlines()
            if "==" in line and not line.startswith("#")
        )
        main = ", ".join(f"{package} {pinned[package]}" for package in MAIN if package in pinned)
        lines.append(f"{name}: {main} (all {len(pinned)} packages: {place.parent.name}/peers/{name}.txt)")
    return "Versions. " + "; ".join(lines) + ".\n"
