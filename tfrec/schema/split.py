"""How events are divided into train, validation and test."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tfrec.config_file import Config
from tfrec.schema.time import unix_ms

SPLITS = ("train", "validation", "test")


class Shares(Config):
    """How much is held out; the rest is for training."""

    validation: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _train_is_left(self) -> Shares:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation} + test {self.test} leave nothing to train on; lower them below 1"
            )
        return self


class LeaveOneOut(Config):
    """Each user's last event is test, the one before validation; users with fewer than three events only train.

    Ties in time are broken by the order of the files. Test events of one user may lie before training events of
    another, so this compares models; it does not estimate tomorrow's quality.
    """

    strategy: Literal["leave_one_out"] = "leave_one_out"


class Temporal(Shares):
    """One cut in time for all users: training lies before validation, validation before test. Leaks no future.

    `validation` and `test` are shares of the events; the cuts fall between two timestamps, so events of one
    timestamp stay together. `validation_from` and `test_from` name the cuts instead (UTC where there is no offset).
    """

    strategy: Literal["temporal"] = "temporal"
    validation_from: datetime | None = None
    test_from: datetime | None = None

    @model_validator(mode="after")
    def _cuts_in_order(self) -> Temporal:
        if (self.validation_from is None) != (self.test_from is None):
            raise ValueError("'validation_from' and 'test_from' go together; give both or neither")
        if self.validation_from and self.test_from and unix_ms(self.validation_from) > unix_ms(self.test_from):
            raise ValueError(f"validation_from {self.validation_from} lies after test_from {self.test_from}; swap them")
        return self

    @property
    def cuts_ms(self) -> tuple[int, int] | None:
        """Unix times in ms from which events are validation and test, where the dates are given."""
        if self.validation_from is None or self.test_from is None:
            return None
        return unix_ms(self.validation_from), unix_ms(self.test_from)


class PerUser(Shares):
    """Shares of each user's events: the last ones (`order: time`) or any (`order: random`, by a hash and `seed`).

    A user with n events gives ⌊n · test⌋ to test and ⌊n · validation⌋ to validation. With `time` no user's future is in
    training, but test events of one user may lie before training events of another.
    """

    strategy: Literal["per_user"] = "per_user"
    order: Literal["time", "random"] = "time"
    seed: int = 1


class Users(Shares):
    """Whole users go to a split, by a hash of the user id and `seed`: test users have no event in training.

    For models that must answer for users they never saw (fold-in). Days are shared between the splits.
    """

    strategy: Literal["users"] = "users"
    seed: int = 1


class Given(Config):
    """Each file says its split (`events: [{files: …, split: train}, …]`), as papers publish theirs.

    Where they publish no validation split, `validation` takes a share of the training rows for it, by a hash of each
    row's place in the log and `seed`.
    """

    strategy: Literal["given"] = "given"
    validation: float = Field(0.0, ge=0, lt=1, description="share of the training rows")
    seed: int = 1


class Random(Shares):
    """Each event goes to a split by a hash of its place in the log and `seed`.

    A model sees other events of the same time and user in training: right for comparing click models with
    published figures, too kind as an estimate of the future.
    """

    strategy: Literal["random"] = "random"
    seed: int = 1


Split = Annotated[LeaveOneOut | Temporal | PerUser | Users | Random | Given, Field(discriminator="strategy")]


def keeps_order(split: Split) -> bool:
    """Whether no user's training event follows one of its held-out events, so that a history may hold all before it."""
    if isinstance(split, PerUser):
        return split.order == "time"
    return not isinstance(split, Random | Given)
