"""How events are divided into train, validation and test."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from tfrec.config_file import Config

SPLITS = ("train", "validation", "test")

Shares = TypeVar("Shares", "Temporal", "Random")


class LeaveOneOut(Config):
    """Each user's last event is test, the one before validation; users with fewer than three events only train.

    Ties in time are broken by the order of the files. Test events of one user may lie before training events of
    another, so this compares models; it does not estimate tomorrow's quality.
    """

    strategy: Literal["leave_one_out"] = "leave_one_out"


class Temporal(Config):
    """One cut in time for all users: training lies before validation, validation before test. Leaks no future.

    `validation` and `test` are shares of the events; the cuts fall between two timestamps, so events of one
    timestamp stay together.
    """

    strategy: Literal["temporal"] = "temporal"
    validation: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _train_is_left(self) -> Temporal:
        return _checked_shares(self)


class Random(Config):
    """Each event goes to a split by a hash of its place in the log and `seed`.

    A model sees other events of the same time and user in training: right for comparing click models with
    published figures, too kind as an estimate of the future.
    """

    strategy: Literal["random"] = "random"
    validation: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    seed: int = 1

    @model_validator(mode="after")
    def _train_is_left(self) -> Random:
        return _checked_shares(self)


def _checked_shares(split: Shares) -> Shares:
    if split.validation + split.test >= 1:
        raise ValueError(
            f"validation {split.validation} + test {split.test} leave nothing to train on; lower them below 1"
        )
    return split


Split = Annotated[LeaveOneOut | Temporal | Random, Field(discriminator="strategy")]
