"""RecBole's BPR (matrix factorisation), stopping early by validation NDCG@10; our function ranks its vectors."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import torch  # type: ignore[import-not-found]
from recbole.config import Config  # type: ignore[import-not-found]
from recbole.data import create_dataset, data_preparation  # type: ignore[import-not-found]
from recbole.trainer import Trainer  # type: ignore[import-not-found]
from recbole.utils import get_model, init_seed  # type: ignore[import-not-found]

from benchmarks.training.exchange import SPLITS, ndcg_at_10, read_pairs
from benchmarks.training.peers.clock import peer_flags, print_result, threads

NAME = "pairs"


def main() -> None:
    flags = peer_flags(__doc__, ("bpr",))
    flags.set_defaults(embedding_dim=64, epochs=300, measure="quality", learning_rate=0.003)
    chosen = flags.parse_args()
    torch.set_num_threads(threads())
    users, items, splits = read_pairs(chosen.data)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # RecBole writes logs where it stands
        (Path(scratch) / NAME).mkdir()
        for split in SPLITS:
            lines = "".join(f"{user}\t{item}\n" for user, item in splits[split].tolist())
            header = "user_id:token\titem_id:token\n"
            (Path(scratch) / NAME / f"{NAME}.{split}.inter").write_text(header + lines, encoding="utf-8")
        settings = {
            "data_path": scratch,
            "checkpoint_dir": scratch,
            "benchmark_filename": list(SPLITS),
            "metrics": ["NDCG"],
            "valid_metric": "NDCG@10",
            "embedding_size": chosen.embedding_dim,
            "train_batch_size": chosen.batch_size,
            "learning_rate": chosen.learning_rate,
            "epochs": chosen.epochs,
            "seed": chosen.seed,
            "use_gpu": False,
            "show_progress": False,
            "state": "WARNING",
        }
        config = Config(model="BPR", dataset=NAME, config_dict=settings)
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, validation, _ = data_preparation(config, dataset)
        model = get_model(config["model"])(config, train.dataset)
        trainer = Trainer(config, model)
        best, _ = trainer.fit(train, validation, saved=True, verbose=False)
        checkpoint = torch.load(trainer.saved_model_file, weights_only=False)
    model.load_state_dict(checkpoint["state_dict"])
    scores = np.full((users, items), -1e9)  # what RecBole's dataset does not know comes last
    of_user, of_item = (dataset.field2id_token[name][1:].astype(np.int64) for name in ("user_id", "item_id"))
    vectors = (table.weight.detach().numpy()[1:] for table in (model.user_embedding, model.item_embedding))
    user_vectors, item_vectors = vectors
    scores[np.ix_(of_user, of_item)] = user_vectors @ item_vectors.T
    seen = np.concatenate([splits["train"], splits["validation"]])
    print_result(version=torch.__version__, ndcg_at_10=ndcg_at_10(scores, seen, splits["test"]), validation=float(best))


if __name__ == "__main__":
    main()
