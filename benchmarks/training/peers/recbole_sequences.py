"""RecBole's SASRec through its own Config, dataset, data loader and `Trainer.fit`, with the softmax over all items.

Its data set makes a training row of every event but a user's first: the latest events before it, padded to the full
length, and the event itself as what is to be predicted. That row is an example. All rows are equally long, so that a
part of an epoch says what a whole one costs: --max-steps times so many steps and no more.
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
from recbole.utils import get_model, init_seed  # type: ignore[import-not-found]

from benchmarks.training.exchange import SPLITS, read_pairs
from benchmarks.training.peers.clock import (
    WARM_UP_STEPS,
    EpochClock,
    peer_flags,
    print_result,
    threads,
    timed_part,
)
from benchmarks.training.peers.recbole_ranking import TimedTrainer

NAME = "sequences"
MODELS = {"sasrec": "SASRec"}


class PartTrainer(TimedTrainer):
    """Trains on the first steps of an epoch alone, and times those behind the warm-up."""

    steps: int

    def _train_epoch(self, train_data: Any, *arguments: Any, **keywords: Any) -> Any:
        return super()._train_epoch(timed_part(train_data, self.clock, self.steps), *arguments, **keywords)


def write_events(splits: dict[str, np.ndarray], directory: Path) -> None:
    """All events as one file; the time of an event is its number among those of its user, held-out ones last."""
    directory.mkdir()
    lines = []
    times: dict[int, int] = {}
    for split in SPLITS:
        for user, item in splits[split].tolist():
            times[user] = times.get(user, 0) + 1
            lines.append(f"{user}\t{item}\t{times[user]}\n")
    header = "user_id:token\titem_id:token\ttimestamp:float\n"
    (directory / f"{NAME}.inter").write_text(header + "".join(lines), encoding="utf-8")


def main() -> None:
    flags = peer_flags(__doc__, tuple(MODELS))
    flags.add_argument("--length", type=int, default=50)
    flags.set_defaults(embedding_dim=64)
    chosen = flags.parse_args()
    torch.set_num_threads(threads())
    _, _, splits = read_pairs(chosen.data)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # RecBole writes logs where it stands
        write_events(splits, Path(scratch) / NAME)
        settings = {
            "data_path": scratch,
            "checkpoint_dir": str(Path(scratch) / "saved"),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "MAX_ITEM_LIST_LENGTH": chosen.length,
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
            "loss_type": "CE",
            "train_neg_sample_args": None,
            "hidden_size": chosen.embedding_dim,
            "inner_size": 4 * chosen.embedding_dim,
            "n_layers": 2,
            "n_heads": 2,
            "train_batch_size": chosen.batch_size,
            "learning_rate": chosen.learning_rate,
            "epochs": chosen.epochs if chosen.max_steps is None else 1,
            "seed": chosen.seed,
            "use_gpu": False,
            "show_progress": False,
            "state": "WARNING",
        }
        config = Config(model=MODELS[chosen.model], dataset=NAME, config_dict=settings)
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        model = get_model(config["model"])(config, train.dataset)
        in_epoch = len(train.dataset.inter_feat)
        if chosen.max_steps is None:
            timed, examples = TimedTrainer(config, model), (chosen.epochs - 1) * in_epoch
        else:
            timed, examples = PartTrainer(config, model), chosen.max_steps * chosen.batch_size
            timed.steps = chosen.max_steps
            if WARM_UP_STEPS * chosen.batch_size + examples > in_epoch:
                flags.error(f"--max-steps {chosen.max_steps}: an epoch has {in_epoch} rows alone")
        timed.clock = EpochClock()
        timed.fit(train, saved=False, verbose=False)
        print_result(version=torch.__version__, examples_per_epoch=in_epoch, **timed.clock.result(examples))


if __name__ == "__main__":
    main()
