"""RecBole's BPR, item neighbours and EASE through its own Config, trainer and early stopping."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found]
from recbole.config import Config  # type: ignore[import-not-found]
from recbole.data import create_dataset, data_preparation  # type: ignore[import-not-found]
from recbole.data.interaction import Interaction  # type: ignore[import-not-found]
from recbole.utils import get_model, get_trainer, init_seed  # type: ignore[import-not-found]

from benchmarks.quality.peers.retrieval import FitClock, Request, finish, request, write_scored
from benchmarks.quality.splits import SPLITS
from benchmarks.training.peers.clock import threads

NAME = "pairs"
MODELS = {"recbole_bpr": "BPR", "recbole_item_knn": "ItemKNN", "recbole_ease": "EASE"}
FOR_TRAINING = {"train_batch_size": 2048, "stopping_step": 10}


def main() -> None:
    asked = request(__doc__, tuple(MODELS))
    torch.set_num_threads(threads())
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # RecBole writes logs where it stands
        write_atomic_files(asked, Path(scratch) / NAME)
        config = configure(asked, scratch)
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, validation, _ = data_preparation(config, dataset)
        model = get_model(config["model"])(config, train.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
        clock = FitClock()
        own, _ = trainer.fit(train, validation, saved=True, verbose=False)
        said = clock.said()
        checkpoint = torch.load(trainer.saved_model_file, weights_only=False)
    model.load_state_dict(checkpoint["state_dict"])
    model.load_other_parameter(checkpoint.get("other_parameter"))
    scores = dense_scores(asked, model, dataset)
    write_scored(asked, lambda _, users: scores[users])
    finish(said, float(own))


def write_atomic_files(asked: Request, directory: Path) -> None:
    directory.mkdir()
    for split in SPLITS:
        events = asked.splits.events[split]
        pairs = np.unique(np.stack([events.users, events.items], axis=1), axis=0)
        lines = "".join(f"{user}\t{item}\n" for user, item in pairs.tolist())
        text = "user_id:token\titem_id:token\n" + lines
        (directory / f"{NAME}.{split}.inter").write_text(text, encoding="utf-8")


def configure(asked: Request, scratch: str) -> Config:
    settings = {
        **FOR_TRAINING,
        **asked.settings,
        "data_path": scratch,
        "checkpoint_dir": scratch,
        "benchmark_filename": list(SPLITS),
        "metrics": ["NDCG"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        "metric_decimal_place": 6,
        "seed": asked.seed,
        "use_gpu": False,
        "show_progress": False,
        "state": "WARNING",
    }
    return Config(model=MODELS[asked.model], dataset=NAME, config_dict=settings)


def dense_scores(asked: Request, model: Any, dataset: Any) -> np.ndarray:
    """Scores of all users for all items by our indices; −inf for what RecBole does not know. float32 [users, items]"""
    scores = np.full((len(asked.splits.users), len(asked.splits.items)), -np.inf, np.float32)
    of_user, of_item = (dataset.field2id_token[name][1:].astype(np.int64) for name in ("user_id", "item_id"))
    model.eval()
    for part in np.array_split(np.arange(1, len(of_user) + 1), max(1, len(of_user) // 512)):
        with torch.no_grad():
            found = model.full_sort_predict(Interaction({"user_id": torch.as_tensor(part)}))
        values = torch.as_tensor(found).reshape(len(part), -1)[:, 1:].numpy()
        scores[np.ix_(of_user[part - 1], of_item)] = values
    return scores


if __name__ == "__main__":
    main()
