"""RecBole's DeepFM and WideDeep through its own Config, dataset, data loader and `Trainer.fit`.

All fields stand in the .inter files, which is RecBole's fastest way: fields in .user and .item files are joined to
every batch again.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found]
from recbole.config import Config  # type: ignore[import-not-found]
from recbole.data import create_dataset, data_preparation  # type: ignore[import-not-found]
from recbole.trainer import Trainer  # type: ignore[import-not-found]
from recbole.utils import get_model, init_seed  # type: ignore[import-not-found]

from benchmarks.training.exchange import LABEL, SPLITS, auc, read_fields, read_ids, read_split
from benchmarks.training.peers.clock import EpochClock, best_epoch, peer_flags, print_result, threads

NAME = "clicks"
MODELS = {"deepfm": "DeepFM", "wide_deep": "WideDeep"}
HIDDEN_UNITS = [256, 128, 64]
KINDS = {"id": "token", "ids": "token_seq", "number": "float"}


class TimedTrainer(Trainer):  # type: ignore[misc]
    """Starts the clock when the second epoch begins."""

    clock: EpochClock

    def _train_epoch(self, train_data: Any, epoch_idx: int, *arguments: Any, **keywords: Any) -> Any:
        if epoch_idx == 1:
            self.clock.start()
        return super()._train_epoch(train_data, epoch_idx, *arguments, **keywords)


def write_atomic_files(data: Path, directory: Path) -> None:
    """The set as RecBole's tab-separated files, a file for each split."""
    kinds = {name: KINDS[field.kind] for name, field in read_fields(data).items()}
    directory.mkdir(parents=True)
    for split in SPLITS:
        columns = read_split(data, split)
        with (directory / f"{NAME}.{split}.inter").open("w", encoding="utf-8") as file:
            file.write("\t".join([f"{name}:{kind}" for name, kind in kinds.items()] + ["label:float"]) + "\n")
            cells = [_cells(columns[name]) for name in kinds] + [columns[LABEL].tolist()]
            file.writelines("\t".join(map(str, row)) + "\n" for row in zip(*cells, strict=True))


def _cells(values: np.ndarray) -> list[Any]:
    if values.ndim == 1:
        return values.tolist()
    return [" ".join(str(token) for token in row if token) for row in values.tolist()]


def configure(chosen: Any, data_path: Path) -> Config:
    user, item = read_ids(chosen.data)
    numbers = [name for name, field in read_fields(chosen.data).items() if field.kind == "number"]
    settings = {
        "data_path": str(data_path),
        "checkpoint_dir": str(data_path / "saved"),
        "benchmark_filename": list(SPLITS),
        "load_col": None,
        "USER_ID_FIELD": user,
        "ITEM_ID_FIELD": item,
        "numerical_features": numbers,  # others of type float are left out
        "LABEL_FIELD": LABEL,
        "eval_args": {"group_by": "none", "order": "RO", "mode": "labeled", "split": {"RS": [0.8, 0.1, 0.1]}},
        "metrics": ["AUC"],
        "valid_metric": "AUC",
        "train_neg_sample_args": None,
        "embedding_size": chosen.embedding_dim,
        "mlp_hidden_size": HIDDEN_UNITS,
        "dropout_prob": 0.0,
        "train_batch_size": chosen.batch_size,
        "learning_rate": chosen.learning_rate,
        "epochs": chosen.epochs,
        "stopping_step": chosen.epochs,
        "seed": chosen.seed,
        "use_gpu": False,
        "show_progress": False,
        "state": "WARNING",
        "log_wandb": False,
    }
    return Config(model=MODELS[chosen.model], dataset=NAME, config_dict=settings)


def scores_of(model: Any, loader: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of a split."""
    model.eval()
    with torch.no_grad():
        pairs = [(batch[0][LABEL], model.predict(batch[0])) for batch in loader]
    model.train()
    labels, scores = (torch.cat(parts).numpy() for parts in zip(*pairs, strict=True))
    return labels, scores


def main() -> None:
    chosen = peer_flags(__doc__, tuple(MODELS)).parse_args()
    torch.set_num_threads(threads())
    chosen.data = data = chosen.data.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # RecBole writes logs where it stands
        write_atomic_files(data, Path(scratch) / NAME)
        config = configure(chosen, Path(scratch))
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, validation, test = data_preparation(config, dataset)
        model = get_model(config["model"])(config, train.dataset)
        if chosen.measure == "quality":
            found: dict[str, list[float]] = {"validation": [], "test": []}
            trainer = Trainer(config, model)
            for epoch in range(chosen.epochs):
                trainer._train_epoch(train, epoch)  # what `fit` does in an epoch
                for split, loader in (("validation", validation), ("test", test)):
                    found[split].append(auc(*scores_of(model, loader)))
            print_result(version=torch.__version__, **best_epoch(**found))
            return
        timed = TimedTrainer(config, model)
        timed.clock = EpochClock()
        timed.fit(train, saved=False, verbose=False)
        print_result(
            version=torch.__version__, **timed.clock.result((chosen.epochs - 1) * len(train.dataset.inter_feat))
        )


if __name__ == "__main__":
    main()
