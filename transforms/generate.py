"""`python -m transforms.generate`: a seeded log with a planted taste structure, so that right answers are known.

Every item has one or two genres and a popularity. Every user has one favourite genre at a time, which changes now and
then; an event is, four times in five, an item of the favourite genre, else any item, always by popularity. Ratings are
high for the favourite genre. So who the user is says something, what the user did last says more, and
`truth.csv` has each user's favourite genre at the end of the log: what good recommendations are full of.

With a daily rhythm every genre has its three hours of the day (UTC), and most of what is taken in them is of it: then
the context of a request, its hour, says what is wanted, and who does not read it cannot know.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrec.command_line import ArgumentParser, run_command

GENRES = ("Adventure", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Music", "Mystery")
COUNTRIES = ("BR", "DE", "IN", "JP", "KE", "US")
_FIRST = (
    "Silent",
    "Golden",
    "Last",
    "Hidden",
    "Burning",
    "Distant",
    "Little",
    "Broken",
    "Endless",
    "Crimson",
)
_SECOND = (
    "River",
    "Garden",
    "Letter",
    "Harbour",
    "Winter",
    "Engine",
    "Orchard",
    "Mirror",
    "Station",
    "Lantern",
)
_START = 1_700_000_000  # Unix seconds of the first possible event
_DAY = 86_400


@dataclass(frozen=True)
class World:
    """Size and habits of the generated world."""

    users: int = 1500
    items: int = 800
    mean_events: int = 40
    stay: float = 0.95  # probability that the favourite genre stays the same from one event to the next
    loyalty: float = 0.8  # probability that an event is of the favourite genre
    rhythm: float = 0.0  # probability that an event is of the genre of its hour instead


def genre_of_hour(hour: int) -> str:
    """What is wanted at an hour of the day, from 0, in a world with a daily rhythm."""
    return GENRES[hour * len(GENRES) // 24]


def generate_log(directory: Path, seed: int, world: World | None = None) -> None:
    """Write events.csv, users.csv, items.csv and truth.csv; the same seed gives the same bytes."""
    world = world or World()
    rng = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    genres, popularity = _items(directory, rng, world)
    _users_and_events(directory, rng, world, genres, popularity)


def _items(directory: Path, rng: np.random.Generator, world: World) -> tuple[np.ndarray, np.ndarray]:
    """Write items.csv; return genre membership bool [items, genres] and popularity [items]."""
    first = rng.integers(len(GENRES), size=world.items)
    second = rng.integers(len(GENRES), size=world.items)
    has_second = rng.random(world.items) < 0.3
    member = np.zeros((world.items, len(GENRES)), dtype=bool)
    member[np.arange(world.items), first] = True
    member[np.arange(world.items)[has_second], second[has_second]] = True
    rank = rng.permutation(world.items)
    popularity = 1.0 / (rank + 10.0)  # Zipf with a flat head
    titles = [f"{_FIRST[i % 10]} {_SECOND[i // 10 % 10]} {_roman(i // 100 + 1)}" for i in range(world.items)]
    rows = (
        (f"i{i:04d}", titles[i], "|".join(g for g, m in zip(GENRES, member[i], strict=True) if m))
        for i in range(world.items)
    )
    _write(directory / "items.csv", ("item_id", "title", "genres"), rows)
    return member, popularity


def _users_and_events(
    directory: Path, rng: np.random.Generator, world: World, genres: np.ndarray, popularity: np.ndarray
) -> None:
    users, truth, events = [], [], []
    of_genre = [popularity * genres[:, g] for g in range(len(GENRES))]
    for user in range(world.users):
        name = f"u{user:05d}"
        country = rng.integers(len(COUNTRIES))
        favourite = (country + rng.integers(3)) % len(GENRES)  # countries differ in what they like
        users.append((name, int(rng.integers(16, 75)), COUNTRIES[country]))
        count = 5 + rng.poisson(world.mean_events - 5)
        times = np.sort(_START + rng.integers(0, 365 * _DAY, size=count))
        taken = np.zeros(len(popularity), dtype=bool)
        for time in times.tolist():
            if rng.random() > world.stay:
                favourite = rng.integers(len(GENRES))
            weight = of_genre[favourite] if rng.random() < world.loyalty else popularity
            hour = time // 3600 % 24
            if world.rhythm and rng.random() < world.rhythm:
                weight = of_genre[GENRES.index(genre_of_hour(hour))]
            weight = np.where(taken, 0.0, weight)
            if weight.sum() == 0:
                continue
            item = rng.choice(len(weight), p=weight / weight.sum())
            taken[item] = True
            rating = int(np.clip(round(rng.normal(4.3 if genres[item, favourite] else 2.7, 0.8)), 1, 5))
            events.append((name, f"i{item:04d}", rating, time, *([hour] if world.rhythm else [])))
        truth.append((name, GENRES[favourite]))
    events.sort(key=lambda event: event[3])  # a log is written as time goes by
    _write(directory / "users.csv", ("user_id", "age", "country"), users)
    columns = ("user_id", "item_id", "rating", "timestamp", *(["hour"] if world.rhythm else []))
    _write(directory / "events.csv", columns, events)
    _write(directory / "truth.csv", ("user_id", "favourite_genre"), truth)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _roman(number: int) -> str:
    text = ""
    for value, sign in ((50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")):
        text += sign * (number // value)
        number %= value
    return text


EXAMPLE = """\
example: python -m transforms.generate --output LOGS --seed 1

Writes a log with a planted taste structure; python -m transforms.run --config generated reads it.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m transforms.generate", example=EXAMPLE)
    flags.add_argument("--output", required=True, help="directory for events.csv, users.csv, items.csv, truth.csv")
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--users", type=int, default=World.users)
    flags.add_argument("--items", type=int, default=World.items)
    flags.add_argument("--mean-events", type=int, default=World.mean_events, help="events per user, at least 6")
    flags.add_argument(
        "--rhythm", type=float, default=World.rhythm, help="share of events of the genre of their hour, 0 to 1"
    )
    chosen = flags.parse(arguments)
    if not 0 <= chosen.rhythm <= 1:
        flags.error(f"--rhythm {chosen.rhythm:g}: is a share; allowed: 0 to 1")
    sizes = {"users": chosen.users, "items": chosen.items, "mean_events": max(6, chosen.mean_events)}
    world = World(**sizes, rhythm=chosen.rhythm)
    generate_log(Path(chosen.output), chosen.seed, world)
    print(f"{chosen.output}: {world.users} users, {world.items} items", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_command(main))
