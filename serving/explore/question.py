"""What a visitor of the page asks, as it stands in the address."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tfrec.errors import ConfigError

MAX_K = 100


@dataclasses.dataclass(frozen=True)
class Question:
    """A user's recommendations by `left`, and by `right` beside it; models by the client's names."""

    user: str
    left: str
    right: str | None
    ranker: str | None
    k: int
    includes_seen: bool

    @classmethod
    def parse(cls, arguments: Mapping[str, str], models: Sequence[str], rankers: Sequence[str]) -> Question:
        """Read an address's arguments. Raises ConfigError for what is not allowed."""
        return cls(
            user=arguments.get("user", "").strip(),
            left=_one_of("left", arguments.get("left") or models[0], models),
            right=_one_of("right", arguments["right"], models) if arguments.get("right") else None,
            ranker=_one_of("ranker", arguments["ranker"], rankers) if arguments.get("ranker") else None,
            k=_whole_number("k", arguments.get("k") or "10"),
            includes_seen=arguments.get("seen") == "1",
        )


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ConfigError(f"{name}: got {value!r}; allowed: {', '.join(allowed) or 'none'}")
    return value


def _whole_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= MAX_K):
        raise ConfigError(f"{name}: got {text!r}; allowed: 1 to {MAX_K}")
    return int(text)
