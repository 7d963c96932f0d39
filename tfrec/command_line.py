"""Command lines: every mistake is one line that names the way out, and exit codes mean the same everywhere."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from tfrec.errors import ConfigError, Stopped, TaskLostError, TfrecError, did_you_mean

SIGNALLED = 128  # exit codes above it: stopped by that signal


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors are ConfigErrors, whose help shows an example first, and that allows no abbreviations.

    Flags may be written with hyphens or underscores.
    """

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
        parsed, unknown = self.parse_some(arguments)
        if unknown:
            flag = unknown[0].partition("=")[0]
            if not flag.startswith("-"):
                raise ConfigError(f"unexpected argument {flag!r}; every value belongs to a flag")
            flags = [name for name in self._option_string_actions if name.startswith("--")]
            raise ConfigError(f"unknown flag {flag!r}{did_you_mean(flag, flags)}")
        return parsed

    def parse_some(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Return the flags' values, and the arguments that are none of this parser's."""
        return self.parse_known_args([self._as_declared(argument) for argument in arguments])

    def _as_declared(self, argument: str) -> str:
        flag, equals, value = argument.partition("=")
        for spelling in (flag.replace("_", "-"), flag.replace("-", "_")):
            name = "--" + spelling.lstrip("-_") if flag.startswith("--") else flag
            if name in self._option_string_actions:
                return name + equals + value
        return argument

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


def run_command(main: Callable[[list[str]], None]) -> int:
    """Run `main` on the command line's arguments.

    Returns:
        The exit code: 0 done, 2 the caller's mistake, 128 + n stopped by signal n, 1 otherwise.

    """
    try:
        main(sys.argv[1:])
    except TfrecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except TaskLostError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away
        return 0
    return 0


def leave(code: int) -> NoReturn:
    """End the process with an exit code; at once where a signal stopped it.

    For commands whose threads compute in libraries: what such a thread holds when the main thread is interrupted is
    never given back, and the clean-up of the interpreter can wait for it for ever. `main` has tidied up by then.
    """
    if code > SIGNALLED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
