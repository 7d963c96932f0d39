"""A simulated log as files: `events`, `items.csv`, and the `dataset.yaml` with which the transforms read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow import csv

from tfrec.simulation.log import ImpressionLog
from tfrec.simulation.world import World

Format = Literal["csv", "jsonl"]
DAY = 86_400
START = 1_700_000_000  # Unix seconds of the first moment; a round is a day
_GENRE_SHARE = 0.2  # an item is said to be of a genre that makes up so much of it

_DATASET = """\
# The simulated log. One row per impression; propensity: the probability of the item at its position.
# For another one: --set propensity.column=propensity_in_slate (at any position) or propensity_given_above.
name: simulated
events: {{files: events.{format}, format: {format}}}
items: {{files: items.csv}}
features:
  user_id: {{role: user, kind: categorical, id: true}}
  context: {{role: context, kind: categorical}}
  item_id: {{role: item, kind: categorical, id: true}}
  genres: {{role: item, kind: categorical, separator: "|", max_values: 4}}
label: {{column: clicked, threshold: 1}}
propensity: {{column: propensity}}
request: {{column: request_id}}
timestamp: {{column: timestamp, unit: s}}
split: {{strategy: temporal, validation: 0.1, test: 0.1}}
"""


def user_names(user_ids: np.ndarray) -> np.ndarray:
    """Ids as the files have them: u00042. str [users]"""
    return np.char.add("u", np.char.zfill(user_ids.astype(str), 5))


def item_names(items: np.ndarray) -> np.ndarray:
    """Ids as the files have them: i00007. str [items]"""
    return np.char.add("i", np.char.zfill(items.astype(str), 5))


def write_log(directory: Path, world: World, log: ImpressionLog, *, file_format: Format = "csv") -> None:
    """Write the three files into an existing directory; only items that have arrived by the end of the log."""
    events = _events(world, log)
    path = directory / f"events.{file_format}"
    if file_format == "csv":
        csv.write_csv(events, path, csv.WriteOptions(quoting_style="needed"))
    else:
        with path.open("w", encoding="utf-8") as file:
            for batch in events.to_batches(max_chunksize=65_536):
                file.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())
    csv.write_csv(_items(world, int(log.round_number.max())), directory / "items.csv")
    (directory / "dataset.yaml").write_text(_DATASET.format(format=file_format), encoding="utf-8")


def _events(world: World, log: ImpressionLog) -> pa.Table:
    contexts = np.asarray(world.config.contexts)
    return pa.table(
        {
            "request_id": np.char.add("r", np.char.zfill(log.request.astype(str), 8)),
            "timestamp": START + log.moment * DAY // world.config.visits_per_round,
            "round": log.round_number,
            "user_id": user_names(log.user),
            "context": contexts[log.context],
            "item_id": item_names(log.item),
            "position": log.position,
            "clicked": log.clicked.astype(np.int8),
            "rating": pa.array(log.rating, mask=log.rating == 0),
            "propensity": log.propensity,
            "propensity_in_slate": log.propensity_in_slate,
            "propensity_given_above": log.propensity_given_above,
            "is_random": log.is_random.astype(np.int8),
        }
    )


def _items(world: World, last_round: int) -> pa.Table:
    items = np.flatnonzero(world.arrival_round <= last_round)
    genres = [
        "|".join(f"genre_{genre}" for genre in np.flatnonzero(shares >= min(_GENRE_SHARE, shares.max())))
        for shares in world.item_genres[items]
    ]
    return pa.table({"item_id": item_names(items), "genres": genres, "round": world.arrival_round[items]})
