"""A log of the form of LibimSeTi's dating ratings, with planted tastes: who would be a match is known.

Everybody is of one of three types and likes one of them, whatever the own one is: of the people that somebody likes, a
third likes back. Whoever rates gives about 8 to the type that is liked and about 3 to others, some people are a little
more attractive than others, and only people of the other gender are rated.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

TYPES = 3


@dataclass(frozen=True)
class DatingWorld:
    """People 0 … n − 1, whose raw ids are 1 … n; the first half are women."""

    types: np.ndarray
    liked: np.ndarray

    @property
    def people(self) -> int:
        return len(self.types)

    def is_woman(self, person: int) -> bool:
        return person < self.people // 2

    def likes(self, one: int, other: int) -> bool:
        return self.is_woman(one) != self.is_woman(other) and bool(self.liked[one] == self.types[other])

    def is_match(self, one: int, other: int) -> bool:
        return self.likes(one, other) and self.likes(other, one)


def write_dating_log(directory: Path, seed: int = 1, people: int = 240, rated: int = 36) -> DatingWorld:
    """Write ratings.dat (user,profile,rating) and gender.dat (user,gender), both without a header."""
    rng = np.random.default_rng(seed)
    world = DatingWorld(rng.integers(TYPES, size=people), rng.integers(TYPES, size=people))
    attraction = rng.normal(0, 0.5, people)
    half = people // 2
    lines = []
    for one in range(people):
        others = np.arange(half, people) if world.is_woman(one) else np.arange(half)
        for other in rng.choice(others, rated, replace=False).tolist():
            mean = (8 if world.likes(one, other) else 3) + attraction[other]
            lines.append(f"{one + 1},{other + 1},{int(np.clip(round(rng.normal(mean, 1)), 1, 10))}\n")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ratings.dat").write_text("".join(lines), encoding="utf-8")
    genders = [f"{one + 1},{'F' if world.is_woman(one) else 'M'}\n" for one in range(people)]
    (directory / "gender.dat").write_text("".join(genders), encoding="utf-8")
    return world
