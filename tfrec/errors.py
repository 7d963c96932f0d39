"""The errors a user can meet. Each message is one line: what, where, got, allowed, next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TfrecError(Exception):
    """Base of every error that the caller can mend; command lines print it without a traceback and exit with 2."""


class ConfigError(TfrecError):
    """A flag, a config file or a dataset.yaml says something that is not allowed."""


class SchemaError(TfrecError):
    """Data, artifact and request do not agree on the features."""


class DataError(TfrecError):
    """The logs or records themselves are unusable: missing, empty, torn, or with too many bad rows."""


class ArtifactError(TfrecError):
    """A dataset, job or export directory is absent, incomplete or of another kind than asked for."""


class TaskLostError(Exception):
    """A process of the cluster is gone. Command lines print it and exit with 1, to be started again."""


class Stopped(BaseException):
    """A signal asked the process to stop, and what it did is saved: the same command goes on with it.

    Command lines exit with 128 + the signal's number, 143 for SIGTERM, which tells a scheduler to start them again.

    Like KeyboardInterrupt it is no Exception: it may be raised inside a library that catches those, and TensorFlow
    wraps them into an error of its own while it traces a function.
    """

    def __init__(self, signal_number: int, message: str = "stopped") -> None:
        super().__init__(message)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        return 128 + self.signal_number

    def saying(self, message: str) -> Stopped:
        """The same, with what was saved."""
        return Stopped(self.signal_number, message)


def did_you_mean(got: str, allowed: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest allowed name, else the list of the allowed ones."""
    names = sorted(allowed)
    near = difflib.get_close_matches(got, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; allowed: {', '.join(names)}" if names else ""
