"""Command lines whose every mistake is one line that names the way out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

from tfrec.errors import ConfigError, did_you_mean


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors are ConfigErrors, and that allows no abbreviated flags."""

    def __init__(self, *, prog: str, example: str) -> None:
        super().__init__(
            prog=prog,
            usage=argparse.SUPPRESS,
            description=example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the flags' values. Raises ConfigError, with the nearest right name, for an unknown flag."""
        parsed, unknown = self.parse_known_args(arguments)
        if unknown:
            flag = unknown[0].partition("=")[0]
            if not flag.startswith("-"):
                raise ConfigError(f"unexpected argument {flag!r}; every value belongs to a flag")
            flags = [name for name in self._option_string_actions if name.startswith("--")]
            raise ConfigError(f"unknown flag {flag!r}{did_you_mean(flag, flags)}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting: the command line prints all errors in one way."""
        raise ConfigError(message)


def at_least(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low`, up to `high` if there is one, for `type=` of a flag."""

    def parse(text: str) -> int:
        allowed = f"{low} to {high}" if high is not None else f"whole numbers from {low}"
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"got {text!r}; allowed: {allowed}")
        return value

    return parse
