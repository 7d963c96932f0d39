"""`python -m benchmarks.factorization_speed`: how fast matrix factorisation learns on one core; Markdown on stdout.

The whole step as jobs take it: shuffled batches from memory, drawn negatives, loss, gradients, update. The log has the
size of MovieLens-1M (--ratings takes the original instead): 1,000,209 events of 6,040 users and 3,706 items, whose
popularity falls as 1 / rank. Every loss is a process of its own on one core; figures are examples per CPU second of
whole epochs after one that is not counted, the median of --repeat processes with their range in brackets. An example
of an implicit loss is one event with one drawn negative.

example: python -m benchmarks.factorization_speed
         python -m benchmarks.factorization_speed --ratings ml-1m/ratings.dat --losses squared,bpr --batch-sizes 8192
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training.processes import pin, run
from benchmarks.training.table import plain_table, spread

FIRST_ID = 2  # 0 is padding, 1 what no vocabulary has
USERS, ITEMS, EVENTS = 6040, 3706, 1_000_209
LOSSES = ("squared", "bpr", "logistic", "hinge", "gbce")
UNITS = ("cpu", "clock")
HEADS = ("loss", "batch size", "CPU second", "second")


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--ratings", type=Path, help="user::item::rating lines; a generated log by default")
    flags.add_argument("--losses", default="squared,bpr", help=f"of {', '.join(LOSSES)}")
    flags.add_argument("--batch-sizes", default="8192,16384,32768")
    flags.add_argument("--embedding-dim", type=int, default=64)
    flags.add_argument("--optimizer", default="adam", choices=["adam", "adagrad", "sgd"])
    flags.add_argument("--epochs", type=int, default=3, help="counted")
    flags.add_argument("--repeat", type=int, default=3)
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--side", help=argparse.SUPPRESS)  # what a process measures: loss,batch size
    chosen = flags.parse_args()
    if chosen.side is not None:
        loss, _, batch = chosen.side.partition(",")
        json.dump(measured(events(chosen.ratings, chosen.seed), loss, int(batch), chosen), sys.stdout)
        return
    losses, sizes = chosen.losses.split(","), [int(size) for size in chosen.batch_sizes.split(",")]
    if unknown := set(losses) - set(LOSSES):
        flags.error(f"--losses: {', '.join(sorted(unknown))}; choose of {', '.join(LOSSES)}")
    pin(1)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for loss in losses:
            for size in sizes:
                command = ["-m", "benchmarks.factorization_speed", *sys.argv[1:], "--side", f"{loss},{size}"]
                found = [run(command, Path(scratch) / "log").said for _ in range(chosen.repeat)]
                rows.append((loss, f"{size:,}", *(spread([one[name] / 1e6 for one in found], 2) for name in UNITS)))
    title = f"Matrix factorisation, {chosen.embedding_dim} factors, {chosen.optimizer}, one core: million examples per"
    print(plain_table(title, HEADS, rows))


def events(ratings: Path | None, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(user index, item index, rating) of every event; read, or drawn."""
    if ratings is not None:
        lines = ratings.read_text(encoding="latin-1").splitlines()
        table = np.array([line.split("::")[:3] for line in lines], dtype=np.float64)
        users, items = (np.unique(table[:, column], return_inverse=True)[1] for column in (0, 1))
        return users, items, table[:, 2].astype(np.float32)
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, ITEMS + 1)
    items = random.choice(ITEMS, EVENTS, p=share / share.sum())
    return random.integers(0, USERS, EVENTS), items, random.integers(1, 6, EVENTS).astype(np.float32)


def measured(
    log: tuple[np.ndarray, np.ndarray, np.ndarray], loss: str, batch_size: int, chosen: argparse.Namespace
) -> dict[str, Any]:
    """Examples per second, by the processor's time (`cpu`) and the clock (`clock`); `loss` of the last epoch."""
    run_steps, steps = training(log, loss, batch_size, chosen)
    run_steps(steps)
    started, wall = time.process_time(), time.perf_counter()
    mean = 0.0
    for _ in range(chosen.epochs):
        mean = run_steps(steps)
    count = chosen.epochs * len(log[0])
    return {
        "cpu": count / (time.process_time() - started),
        "clock": count / (time.perf_counter() - wall),
        "loss": mean,
    }


def training(
    log: tuple[np.ndarray, np.ndarray, np.ndarray], loss: str, batch_size: int, chosen: argparse.Namespace
) -> tuple[Callable[[int], float], int]:
    """(a function that takes some steps and returns their mean loss, steps of an epoch)."""
    from tfrec.dataset.batches import Batches
    from tfrec.models.matrix_factorization import MatrixFactorization, MatrixFactorizationConfig
    from tfrec.optimizers import SGD, Adagrad, Adam, Group, RowOptimizer
    from trainer.cluster.placement import Placement
    from trainer.run import make_deterministic
    from trainer.training.replica_step import ReplicaStep
    from trainer.training.steps import SynchronousSteps

    make_deterministic(chosen.seed)
    inputs = model_inputs(log, has_ratings=loss == "squared")
    config = MatrixFactorizationConfig(
        loss=loss, embedding_dim=chosen.embedding_dim, negatives_per_row=1, negative_alpha=0.0
    )
    model = MatrixFactorization(config, inputs, seed=chosen.seed)
    users, items, ratings = log
    columns = {"user_id": users + FIRST_ID, "user_index": users, "item_index": items, "label": ratings}
    batches = Batches({name: columns[name] for name in sorted(model.train_columns())}, batch_size, chosen.seed)
    optimizer = RowOptimizer([Group({"adam": Adam(), "adagrad": Adagrad(), "sgd": SGD()}[chosen.optimizer], 0.01)])
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    steps = SynchronousSteps(ReplicaStep(model, optimizer), batches, Placement("one"))
    rows = steps.batches(0)

    def run_steps(count: int) -> float:
        total, left = 0.0, count
        while left:
            done = steps.run(rows, left)
            total, left = total + done.loss_sum, left - done.steps
        return total / count

    return run_steps, batches.steps_per_epoch


def model_inputs(log: tuple[np.ndarray, np.ndarray, np.ndarray], *, has_ratings: bool) -> Any:
    """What a model is built from, of a log whose every user and item is known."""
    from tfrec.dataset.interactions import Interactions
    from tfrec.models.inputs import Catalogue, ModelInputs
    from tfrec.schema import Schema

    users, items, ratings = log
    features = {
        name: {"role": name.removesuffix("_id"), "kind": "categorical", "id": True} for name in ("user_id", "item_id")
    }
    content: dict[str, Any] = {"name": "speed", "features": features, "split": {"strategy": "random"}}
    schema = Schema.model_validate(content | ({"label": {"column": "rating"}} if has_ratings else {}))
    num_users, num_items = int(users.max()) + 1, int(items.max()) + 1
    order = np.argsort(users, kind="stable")
    splits = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=num_users))]).astype(np.int64)
    train = Interactions(splits, items[order], num_items, labels=ratings[order] if has_ratings else None)
    catalogue = Catalogue(
        np.array([str(item).encode() for item in range(num_items)], object),
        {"item_id": np.arange(num_items) + FIRST_ID},
        {},
    )
    return ModelInputs(schema, {"user_id": num_users + FIRST_ID, "item_id": num_items + FIRST_ID}, catalogue, train)


if __name__ == "__main__":
    main()
