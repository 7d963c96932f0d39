"""What a finished job left behind, each part read once and when it is asked for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfrec.dataset.records import Arrays
from tfrec.errors import ArtifactError
from tfrec.models.base import Task
from tfrec.models.registry import model_class
from trainer.config import load_job_config
from trainer.data import JobData
from trainer.evaluation.baseline_names import SHARES, baseline_label
from trainer.evaluation.direction import LOWER_IS_BETTER
from trainer.evaluation.predictions import read_lists
from trainer.evaluation.ratings import BASELINE as RATING_BASELINE
from trainer.job import JobDirectory
from trainer.report.per_user import ERROR_METRICS, EventOutcome, ListOutcome, Outcome, is_per_user
from trainer.request.files import open_job_dataset

MAIN_SET = "test"


class JobResults:
    """Metrics, predictions, dataset and config of one job."""

    def __init__(self, job: JobDirectory, data: JobData | None = None) -> None:
        """Open a job.

        Args:
            job: evaluated.
            data: its dataset, where it is at hand already.

        Raises:
            ArtifactError: no job, no metrics, or nothing was evaluated.

        """
        self.job = job
        self.config = load_job_config(job.config)
        self.metrics: dict[str, Any] = job.read_metrics()
        if not self.sets:
            raise ArtifactError(
                f"{job.metrics}: has no metrics of {MAIN_SET}; evaluate with: "
                f"python -m trainer.evaluate --job-dir {job.path} --output {job.path}"
            )
        self._data = data
        self._outcomes: dict[str | None, Outcome | None] = {}  # of the test set, by baseline

    @property
    def name(self) -> str:
        return self.config.model_name

    def label(self, baseline: str | None) -> str:
        """What the page calls a baseline; None for the model."""
        return self.name if baseline is None else baseline_label(baseline, self.name)

    @property
    def task(self) -> Task:
        return model_class(self.config.model_name).task

    @cached_property
    def data(self) -> JobData:
        if self._data is not None:
            return self._data
        dataset = open_job_dataset(self.config)
        if dataset.fingerprint != self.config.dataset_fingerprint:
            raise ArtifactError(f"{dataset.path}: changed since {self.job.path} was trained on it; train again")
        return JobData(dataset)

    @cached_property
    def is_binary(self) -> bool:
        label = self.data.schema.label
        return label is not None and label.is_binary

    @cached_property
    def sets(self) -> list[str]:
        """Query sets with metrics, the main one first."""
        named = [key.split("/")[0] for key in self.metrics if "/" in key]
        found = [name for name in dict.fromkeys(named) if name not in ("train", "cost")]
        return sorted(found, key=lambda name: name != MAIN_SET) if MAIN_SET in found else []

    @cached_property
    def baselines(self) -> list[str]:
        """Names of the models that were evaluated beside this one."""
        parts = [key.split("/") for key in self.metrics if key.startswith(f"{MAIN_SET}/")]
        named = (part[1] for part in parts if len(part) > 2 and part[2] not in ("low", "high"))
        # Each item's mean stands beside ratings, shares beside what else is predicted of an event; they make no lists.
        left_out = (RATING_BASELINE, SHARES) if self.task == "retrieval" else ()
        return [name for name in dict.fromkeys(named) if name not in left_out]

    @cached_property
    def headline(self) -> str:
        """The metric that the page is about: the one that chose the epoch, where it is kept per user."""
        wanted = self.config.train.monitor
        if self.task == "retrieval":
            if wanted is not None and is_per_user(wanted, self.task) and f"{MAIN_SET}/{wanted}" in self.metrics:
                return wanted
            return self._usual_ndcg()
        if wanted in ERROR_METRICS:
            return str(wanted)
        usual = ("log_loss", "rmse", "auc", "spearman")  # one that only orders events is judged by the order
        return next((metric for metric in usual if f"{MAIN_SET}/{metric}" in self.metrics), "rmse")

    @cached_property
    def has_probabilities(self) -> bool:
        """Whether predictions of a binary label are probabilities; of pairwise and listwise losses they are not."""
        return self.is_binary and f"{MAIN_SET}/log_loss" in self.metrics

    @property
    def predicts_values(self) -> bool:
        """Whether predictions can be compared with labels: probabilities, or values."""
        return self.has_probabilities or (not self.is_binary and f"{MAIN_SET}/rmse" in self.metrics)

    def _usual_ndcg(self) -> str:
        """At 10, else at the smallest k that was evaluated."""
        keys = (key.split("/") for key in self.metrics if key.startswith(f"{MAIN_SET}/ndcg_at_"))
        ks = [int(k) for _, metric, *rest in keys if not rest and (k := metric.removeprefix("ndcg_at_")).isdecimal()]
        return f"ndcg_at_{10 if 10 in ks else min(ks, default=10)}"

    def value(self, name: str, metric: str, baseline: str | None = None) -> float | None:
        """A figure of metrics.json, or None."""
        key = "/".join(part for part in (name, baseline, metric) if part)
        found = self.metrics.get(key)
        return float(found) if isinstance(found, int | float) else None

    def best_baseline(self, name: str, metric: str) -> str | None:
        """The baseline with the best value of a metric on a query set."""
        found = {b: v for b in self.baselines if (v := self.value(name, metric, b)) is not None and np.isfinite(v)}
        if not found:
            return None
        sign = -1 if metric in LOWER_IS_BETTER else 1
        return max(found, key=lambda baseline: sign * found[baseline])

    def outcome(self, name: str, baseline: str | None = None) -> Outcome | None:
        """What the model or a baseline answered on a query set; None where it was not kept.

        Those of the test set stay in memory, for many parts of a page ask for them.
        """
        if name != MAIN_SET:
            return self._read_outcome(name, baseline)
        if baseline not in self._outcomes:
            self._outcomes[baseline] = self._read_outcome(name, baseline)
        return self._outcomes[baseline]

    def _read_outcome(self, name: str, baseline: str | None) -> Outcome | None:
        path = self.job.path / "predictions" / f"{'.'.join(part for part in (name, baseline) if part)}.parquet"
        if not path.exists():
            return None
        return ListOutcome(read_lists(path)) if self.task == "retrieval" else EventOutcome(_read_events(path))


def _read_events(path: Path) -> Arrays:
    try:
        table = pq.read_table(path)
        return {name: table[name].to_numpy() for name in table.column_names}
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: damaged ({str(error).splitlines()[0]}); evaluate again") from None
