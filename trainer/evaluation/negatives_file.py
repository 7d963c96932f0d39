"""A file of given negatives: `user item item …`, or `(user,positive) item item …`, one user a line, tab-separated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.errors import ConfigError, DataError
from tfrec.metrics.lists import NO_ITEM

_WITH_POSITIVE = re.compile(r"\((.*),(.*)\)")
SHOWN = 3  # unknown ids that a message names


@dataclass(frozen=True)
class GivenNegatives:
    """Items by user index, and what the file has that the dataset does not.

    Attributes:
        items: `NO_ITEM` past the end, and everywhere for a user who is not in the file. int64 [num_users, width]
        has_line: whether the file has a line for the user. bool [num_users]
        faults: what was left out, in words; "" where nothing was.

    """

    items: np.ndarray
    has_line: np.ndarray
    faults: str


def read_negatives(path: str, user_ids: np.ndarray, item_ids: np.ndarray) -> GivenNegatives:
    """Read a file; ids are those of the log.

    Args:
        path: of the file.
        user_ids: by user index. object (bytes) [num_users]
        item_ids: by item index. object (bytes) [num_items]

    Raises:
        ConfigError: it cannot be read.
        DataError: it is empty, a user stands twice, or no user or no item of it is in the dataset.

    """
    where = f"evaluation.negatives.file {path}"
    try:
        lines = [line.split("\t") for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: is not UTF-8 text; name a file of tab-separated ids") from None
    except OSError as error:
        raise ConfigError(
            f"{where}: cannot be read ({error.strerror}); name it with --set evaluation.negatives.file=PATH"
        ) from None
    if not lines:
        raise DataError(f"{where}: is empty; a line is 'user<tab>item<tab>item …'")
    pairs = [_WITH_POSITIVE.fullmatch(line[0].strip()) for line in lines]
    names = [pair[1].strip() if pair else line[0].strip() for pair, line in zip(pairs, lines, strict=True)]
    if len(set(names)) < len(names):
        again = next(name for at, name in enumerate(names) if name in names[:at])
        raise DataError(f"{where}: user {again!r} stands twice; keep one line a user")
    lengths = np.array([len(line) - 1 for line in lines])
    tokens = [token.strip() for line in lines for token in line[1:]]
    users, items = _index_of(names, user_ids), _index_of(tokens, item_ids)
    for what, found, first in (("user", users, names), ("item", items, tokens)):
        if not len(found) or (found < 0).all():
            example = f" (such as {first[0]!r})" if first else ""
            raise DataError(f"{where}: no {what} of it{example} is in the dataset; write ids as the log has them")
    table = np.full((len(user_ids), int(lengths.max())), NO_ITEM, np.int64)
    rows = np.repeat(users, lengths)
    columns = np.arange(len(items)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    table[rows[rows >= 0], columns[rows >= 0]] = items[rows >= 0]
    has_line = np.zeros(len(user_ids), bool)
    has_line[users[users >= 0]] = True
    return GivenNegatives(
        table, has_line, "; ".join([*_unknown("user", names, users), *_unknown("item", tokens, items)])
    )


def _index_of(tokens: list[str], ids: np.ndarray) -> np.ndarray:
    """Place of each token among the ids, −1 where it is not one. int64 [tokens]"""
    found = pc.index_in(pa.array([token.encode() for token in tokens], pa.binary()), pa.array(ids, pa.binary()))
    return np.asarray(pc.fill_null(found, -1).to_numpy()).astype(np.int64)


def _unknown(what: str, tokens: list[str], found: np.ndarray) -> list[str]:
    unknown = np.flatnonzero(found < 0)
    if not len(unknown):
        return []
    some = ", ".join(dict.fromkeys(tokens[at] for at in unknown[:SHOWN]))
    more = ", …" if len(unknown) > SHOWN else ""
    return [f"{len(unknown):,} {what}s of {len(tokens):,} are not in the dataset ({some}{more})"]
