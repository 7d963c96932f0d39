"""How every command of the project ends: 0 done, 2 the caller's mistake in one line, 1 anything else."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tfrec.errors import TfrecError


def run_command(main: Callable[[list[str]], None]) -> int:
    """Run `main` on the command line's arguments and return the exit code."""
    try:
        main(sys.argv[1:])
    except TfrecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away
        return 0
    return 0
