"""Flags that people bring along from public training samples and that have no meaning here, with the way out."""

from __future__ import annotations

from collections.abc import Sequence

from tfrec.errors import ConfigError

INSTEAD = {
    "--eval-steps": "metrics are always of the whole validation split; leave it out",
    "--eval-batch-size": "metrics do not depend on how rows are batched; leave it out",
    "--embedding-size": "use --set model.embedding_dim=16",
    "--hidden-units": "use --set model.hidden_units=[256,128]",
    "--first-layer-size": "use --set model.hidden_units=[256,128]",
    "--num-layers": "use --set model.hidden_units=[256,128]",
    "--scale-factor": "use --set model.hidden_units=[256,128]",
    "--dropout": "use --set model.dropout=0.2",
    "--optimizer": "use --set train.optimizer=adagrad",
    "--distribute": "use --strategy",
    "--model-dir": "use --job-dir for checkpoints and logs, and AIP_MODEL_DIR for a copy of the exported model",
    "--output-dir": "use --job-dir",
    "--output-path": "use --job-dir",
    "--checkpoint-dir": "use --job-dir, or set AIP_CHECKPOINT_DIR",
    "--log-dir": "use --job-dir, or set AIP_TENSORBOARD_LOG_DIR",
    "--tensorboard-log-dir": "use --job-dir, or set AIP_TENSORBOARD_LOG_DIR",
    "--export-format": "the export takes raw features by name and serialized tf.Examples; leave it out",
    "--reuse-job-dir": "the same command goes on with its job; another one wants a new --job-dir",
    "--train-data-paths": "use --train-files",
    "--train-data": "use --train-files",
    "--eval-data-paths": "use --eval-files",
    "--eval-data": "use --eval-files",
    "--test-files": "the dataset's own test split is used; for another one: python -m trainer.evaluate --dataset",
    "--verbosity": "set TF_CPP_MIN_LOG_LEVEL for TensorFlow's own messages",
    "--early-stopping": "use --set train.patience=5",
}


def refuse_foreign_flags(arguments: Sequence[str]) -> None:
    """Raise ConfigError, with what to use instead, for the first of them."""
    for argument in arguments:
        flag = argument.partition("=")[0]
        instead = INSTEAD.get(flag.replace("_", "-"))
        if instead:
            raise ConfigError(f"{flag}: has no meaning here; {instead}")
