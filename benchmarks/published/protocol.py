"""What a published experiment is: files, what is held out of them, and how finished jobs are judged."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class Judgement:
    """One way of judging a job, whose figures make one table.

    Attributes:
        title: of the table.
        asked: the query set whose metrics are the paper's.
        metrics: of these the first decides the order of the rows.
        apart: name of an evaluation after the job's own; None: the job's own has the query set.
        overrides: of the job's config for the evaluation apart.

    """

    title: str
    asked: str
    metrics: tuple[str, ...]
    apart: str | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedSplit(abc.ABC):
    """Files of a paper's experiment.

    Attributes:
        name: of the folder below --data-dir.
        preset: of `evaluation.protocol`.
        judgements: at least one; the first is the job's own evaluation.

    """

    # Whether the protocol holds a validation event back: epochs are then chosen in every job. Otherwise they are a
    # setting, found on a cut of the training rows, and the job learns from all of these.
    has_validation: ClassVar[bool]
    is_ordered: ClassVar[bool]  # whether rows stand in the order of time

    name: str
    preset: str
    judgements: tuple[Judgement, ...]

    @abc.abstractmethod
    def files(self, data_dir: Path) -> list[Path]:
        """All that must be there."""

    @abc.abstractmethod
    def dataset(self, data_dir: Path, work: Path, *, cut: bool) -> Path:
        """The dataset of the published files; `cut`: that on which settings are chosen, without the test rows."""

    def overrides(self, data_dir: Path) -> list[str]:
        """Of a job's config: how it is evaluated."""
        return [f"evaluation.protocol={self.preset}"]
