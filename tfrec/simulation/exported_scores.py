"""Scores of an exported ranking model, so that a model trained on a simulated log serves the next round."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfrec.errors import ArtifactError
from tfrec.simulation.log_files import item_names, user_names
from tfrec.simulation.state import Requests
from tfrec.simulation.value import Scorer
from tfrec.simulation.world import World

_REQUESTS_AT_ONCE = 256


def exported_scorer(version: Path, world: World) -> Scorer:
    """The `rank` signature of a SavedModel, asked for the whole catalogue; `version` holds saved_model.pb.

    Raises:
        ArtifactError: there is no SavedModel, or it does not rank.

    """
    import tensorflow as tf

    try:
        module = tf.saved_model.load(str(version))
    except OSError:
        raise ArtifactError(f"{version}: no SavedModel; name a version, such as JOB/export/deepfm/1") from None
    if "rank" not in module.signatures:
        raise ArtifactError(f"{version}: has no signature 'rank'; export a ranking model, such as deepfm")
    rank = module.signatures["rank"]
    inputs = set(rank.structured_input_signature[1])
    contexts = np.asarray(world.config.contexts)
    names = item_names(np.arange(world.config.items)).astype("S")  # ascending, as zeros fill them up

    def ask(requests: Requests, rows: slice) -> np.ndarray:
        users = user_names(requests.user_ids[rows])
        given = {"user_id": users, "context": contexts[requests.contexts[rows]]}
        fed = {name: tf.constant(values) for name, values in given.items() if name in inputs}
        found = rank(candidate_ids=tf.tile(tf.constant(names)[None], [len(users), 1]), **fed)
        scores = np.empty((len(users), len(names)))
        places = np.searchsorted(names, found["ids"].numpy().astype("S"))
        np.put_along_axis(scores, places, found["scores"].numpy().astype(np.float64), axis=1)
        return scores

    def score(requests: Requests) -> np.ndarray:
        starts = range(0, len(requests), _REQUESTS_AT_ONCE)
        parts = [ask(requests, slice(start, start + _REQUESTS_AT_ONCE)) for start in starts]
        return np.concatenate(parts) if parts else np.zeros((0, len(names)))

    # Keeps the module alive: its signatures hold its variables by weak references.
    score.module = module  # type: ignore[attr-defined]
    return score
