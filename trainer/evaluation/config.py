"""What is asked of a trained model, and how its answers are judged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tfrec.config_file import Config


class Negatives(Config):
    """Items that stand in for the catalogue in the set `test_sampled`; the full ranking is measured all the same.

    Either drawn, or those of a file: one user a line, tab-separated, `user item item …`, or as the neural collaborative
    filtering papers write theirs, `(user,positive) item item …`.
    """

    count: int = Field(100, ge=1, description="drawn for each user, among items that the user never took")
    kind: Literal["uniform", "popularity"] = Field(
        "uniform", description="popularity: in proportion to training events"
    )
    seed: int = Field(1, ge=0)
    file: str | None = Field(None, description="take these instead of drawing")
    ties: Literal["lower_index", "relevant_first"] = Field(
        "lower_index",
        description="which of two equal scores comes first; relevant_first flatters a model of few scores",
    )


class UserSample(Config):
    """The same users in every set, chosen by a hash of their index."""

    count: int = Field(10_000, ge=1)
    seed: int = Field(1, ge=0)


class EvaluationConfig(Config):
    """How a job is evaluated; `protocol` names a preset that the other keys change."""

    protocol: str | None = Field(None, description="a preset of trainer/presets/")
    split: str | None = Field(None, description="the strategy that the dataset must have been split by")
    ks: tuple[int, ...] = Field((5, 10, 20, 50, 100), description="lengths at which lists are cut")
    exclude: Literal["seen", "nothing"] = Field(
        "seen", description="items of earlier splits: taken out of the lists and not asked for, or left in"
    )
    negatives: Negatives | None = None
    windows: int = Field(0, ge=0, description="consecutive stretches of the test period, each a set of its own")
    fold_in: float = Field(
        0.8, ge=0, lt=1, description="split 'users': share of a held-out user's events that the model may read"
    )
    users: UserSample | None = None
    auc: bool = Field(True, description="of each full ranking too, which sorts the whole catalogue for every user")
    gauc_by: Literal["user", "request"] = Field(
        "user", description="ranking models: the groups within which GAUC compares events"
    )
    baselines: tuple[str, ...] = Field(
        ("popularity", "item_knn", "ease"), description="retrieval models that answer the same queries"
    )
    baseline_trials: int = Field(
        20, ge=1, description="settings of each baseline that are tried on validation; fewer where a fit takes long"
    )
    baselines_from: str | None = Field(
        None, description="a job on the same dataset and protocol, whose baselines' settings are taken over"
    )
    batch_size: int = Field(1024, ge=1, description="users that are scored at once; fewer for a huge catalogue")

    @field_validator("ks")
    @classmethod
    def _ks_ascend(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if not ks or min(ks) < 1:
            raise ValueError(f"got {list(ks)}; at least one length is needed, each at least 1")
        return tuple(sorted(set(ks)))

    @model_validator(mode="after")
    def _baselines_once(self) -> EvaluationConfig:
        if len(set(self.baselines)) < len(self.baselines):
            raise ValueError(f"baselines: {', '.join(self.baselines)} has one twice; name each once")
        return self

    @property
    def list_length(self) -> int:
        """Places of a list that are kept: 100, or more for a larger k."""
        return max(100, *self.ks)
