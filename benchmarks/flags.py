"""What the flags of the commands have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterable


def picked(
    flags: argparse.ArgumentParser,
    flag: str,
    given: str | None,
    allowed: Iterable[str],
    default: Iterable[str] | None = None,
) -> list[str]:
    """Names of a comma-separated flag, all or `default` where it is not given; an unknown one ends the command."""
    names = list(allowed)
    if given is None:
        return names if default is None else list(default)
    wanted = [name for name in given.split(",") if name]
    if unknown := sorted(set(wanted) - set(names)):
        flags.error(f"{flag}: {', '.join(unknown)}; choose of {', '.join(names)}")
    return wanted
