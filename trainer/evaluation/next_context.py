"""What a model says of the next event besides its item, judged on the events of a split."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays
from tfrec.metrics import class_accuracy, class_log_loss
from tfrec.models.base import PredictsContext, RetrievalModel
from tfrec.schema import USER_INDEX, CategoricalFeature
from trainer.data import JobData
from trainer.evaluation.baseline_names import SHARES
from trainer.evaluation.events import SPLITS

ROWS = 65_536
MEANING = (
    "<feature>_log_loss, <feature>_accuracy: of the probabilities of the feature's values for each event of the split, "
    "read from the history before it, its time and its other context; events whose value training does not have are "
    "left out; beside them the shares of the values in training"
)


def evaluate_next_context(model: RetrievalModel, data: JobData) -> dict[str, float]:
    """Flat metrics of validation and test; nothing where the model predicts no context."""
    foresight = model.next_context()
    if foresight is None:
        return {}
    result: dict[str, float] = {}
    for split in SPLITS:
        records = data.split(split)
        said = context_probabilities(foresight, model.required_features, records)
        for name, probabilities in said.items():
            feature = data.schema.features[name]
            assert isinstance(feature, CategoricalFeature)
            classes = records[name] - feature.first_token_id
            known = classes >= 0
            if not known.any():
                continue
            shares = data.model_inputs.context[name].shares
            as_usual = np.broadcast_to(shares, [int(known.sum()), len(shares)])
            for prefix, values in ((split, probabilities[known]), (f"{split}/{SHARES}", as_usual)):
                result[f"{prefix}/{name}_log_loss"] = class_log_loss(classes[known], values)
                result[f"{prefix}/{name}_accuracy"] = class_accuracy(classes[known], values)
    return result


def context_probabilities(foresight: PredictsContext, reads: frozenset[str], records: Arrays) -> Arrays:
    """Of all events, batch by batch: feature → float32 [events, tokens].

    Args:
        foresight: what predicts.
        reads: encoded features that it reads.
        records: of the events.

    """
    scorer = tf.function(foresight.context_probabilities, reduce_retracing=True, autograph=False)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in foresight.predicted_tokens}
    for start in range(0, len(records[USER_INDEX]), ROWS):
        batch = {name: tf.constant(records[name][start : start + ROWS]) for name in reads}
        for name, found in scorer(batch).items():
            parts[name].append(found.numpy())
    return {
        name: np.concatenate([np.zeros([0, len(foresight.predicted_tokens[name])], np.float32), *found])
        for name, found in parts.items()
    }
