"""`python -m benchmarks.transforms.check`: do the records of a contender say what the log says? Streams both.

Every record is parsed by tf.data. Of each split the rows are counted and a fingerprint is formed that does not depend
on their order, over the ids of all four vocabularies, the rating and the time; the log, encoded with the contender's
vocabularies, has to give the same one. So no row is lost, doubled, or put together from two. Vocabularies are compared
with counts of the training rows, prices by a random projection, histories by a fingerprint over a sample of users.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.transforms.check_log import read_log
from benchmarks.transforms.check_records import SPLITS, VOCABULARIES, Found, read_records

PRICE_TOLERANCE = 1e-5  # of a standardised price, a float32; errors of n rows add up to √n of it


def check(log: Path, output: Path, history: int) -> dict[str, Any]:
    """Figures of the dataset at `output`, and under `wrong` whatever does not fit the log."""
    vocabularies = {name: _lines(output / "vocabulary" / f"{name}.txt") for name in VOCABULARIES}
    records = {name: read_records(sorted((output / name).glob("*.tfrecord*")), history) for name in SPLITS}
    cuts = (records["validation"].first_time, records["test"].first_time)
    expected, train_counts, mean, deviation = read_log(log, vocabularies, cuts, history)
    wrong = []
    for name in SPLITS:
        wrong += [f"{name}: {fault}" for fault in _compare(records[name], expected[name], mean, deviation)]
    for name, counts in train_counts.items():
        ordered = [counts.get(token, 0) for token in vocabularies[name]]
        if set(vocabularies[name]) != set(counts):
            wrong.append(f"vocabulary of {name}: {len(vocabularies[name])} tokens, training has {len(counts)}")
        elif ordered != sorted(ordered, reverse=True):
            wrong.append(f"vocabulary of {name} is not in the order of frequency")
    train = records["train"]
    if not train.last_time < cuts[0] <= records["validation"].last_time < cuts[1]:
        wrong.append("the splits overlap in time")
    return {
        "records": {name: found.rows for name, found in records.items()},
        "order_correlation": train.order_correlation,
        "order_correlation_expected": train.correlation_expected,
        "history_items": sum(found.history_items for found in records.values()),
        "cuts_ms": cuts,
        "wrong": wrong,
    }


def _compare(found: Found, expected: Found, mean: float, deviation: float) -> list[str]:
    wrong = []
    if found.rows != expected.rows:
        wrong.append(f"{found.rows} records, the log has {expected.rows} rows")
    if found.fingerprint != expected.fingerprint:
        wrong.append("records differ from the rows of the log")
    if found.history_fingerprint != expected.history_fingerprint:
        wrong.append("histories differ from those of the log")
    price = (expected.price_projection - mean * expected.projection) / deviation
    if abs(found.price_projection - price) > PRICE_TOLERANCE * max(found.rows, 1) ** 0.5:
        wrong.append(f"prices differ: projection {found.price_projection}, expected {price}")
    return wrong


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--log", type=Path, required=True)
    flags.add_argument("--output", type=Path, required=True)
    flags.add_argument("--history", type=int, default=0)
    chosen = flags.parse_args()
    report = check(chosen.log, chosen.output, chosen.history)
    json.dump(report, sys.stdout)
