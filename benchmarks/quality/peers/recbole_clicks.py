"""RecBole's DeepFM and WideDeep on the click set; the epoch is chosen on validation."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found]
from recbole.data import create_dataset, data_preparation  # type: ignore[import-not-found]
from recbole.trainer import Trainer  # type: ignore[import-not-found]
from recbole.utils import get_model, init_seed  # type: ignore[import-not-found]

from benchmarks.quality.peers.ranking import HELD_OUT, BestEpoch, ranking_flags
from benchmarks.quality.peers.retrieval import FitClock
from benchmarks.training.exchange import LABEL, auc, read_ids, read_split
from benchmarks.training.peers.clock import print_result, threads
from benchmarks.training.peers.recbole_ranking import NAME, configure, scores_of, write_atomic_files

MODELS = {"recbole_deepfm": "deepfm", "recbole_wide_deep": "wide_deep"}
DEFAULTS = {
    "epochs": 12,
    "train_batch_size": 2048,
    "embedding_size": 16,
    "learning_rate": 0.001,
    "dropout_prob": 0.0,
}


def main() -> None:
    chosen = ranking_flags(__doc__, tuple(MODELS)).parse_args()
    chosen.data, chosen.output = chosen.data.resolve(), chosen.output.resolve()
    torch.set_num_threads(threads())
    settings = {**DEFAULTS, **chosen.settings}
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # RecBole writes logs where it stands
        write_atomic_files(chosen.data, Path(scratch) / NAME)
        config = configure(_flags(chosen, settings), Path(scratch))
        config["dropout_prob"] = settings["dropout_prob"]
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, *loaders = data_preparation(config, dataset)
        model = get_model(config["model"])(config, train.dataset)
        trainer, best, clock = Trainer(config, model), BestEpoch(), FitClock()
        for epoch in range(settings["epochs"]):
            trainer._train_epoch(train, epoch)  # what `fit` does in an epoch
            found = {
                split: in_order(model, loader, dataset, read_split(chosen.data, split), read_ids(chosen.data))
                for split, loader in zip(HELD_OUT, loaders, strict=True)
            }
            best.offer(auc(read_split(chosen.data, HELD_OUT[0])[LABEL], found[HELD_OUT[0]]), found)
        print_result(**clock.said(), **best.write(chosen.output), own_validation_auc=None)


def _flags(chosen: argparse.Namespace, settings: dict[str, Any]) -> argparse.Namespace:
    return argparse.Namespace(
        data=chosen.data,
        model=MODELS[chosen.model],
        seed=chosen.seed,
        embedding_dim=settings["embedding_size"],
        batch_size=settings["train_batch_size"],
        learning_rate=settings["learning_rate"],
        epochs=settings["epochs"],
    )


def in_order(
    model: Any, loader: Any, dataset: Any, columns: dict[str, np.ndarray], names: tuple[str, str]
) -> np.ndarray:
    """Probabilities in the order of the set's rows, `names` being those of the user and of the item.

    Raises:
        ValueError: RecBole has sorted the rows, and user and item do not tell them apart.

    """
    labels, scores = scores_of(model, loader)
    theirs = [
        dataset.field2id_token[name][torch.cat([batch[0][name] for batch in loader]).numpy()].astype(np.int64)
        for name in names
    ]
    ours = [columns[name] for name in names]
    if all(np.array_equal(a, b) for a, b in zip([*theirs, labels], [*ours, columns[LABEL]], strict=True)):
        return scores
    if len(np.unique(np.stack(ours), axis=1).T) < len(scores):
        raise ValueError("RecBole has sorted the rows, and user and item do not tell them apart")
    placed = np.empty(len(scores))
    placed[np.lexsort(ours)] = scores[np.lexsort(theirs)]
    return placed


if __name__ == "__main__":
    main()
