"""Item vectors for TensorBoard's embedding projector, with ids and titles.

logs/projector_config.pbtxt        where TensorBoard looks for it: beside the event files of the run
logs/projector/item_vectors.tsv    one line per item
logs/projector/metadata.tsv        id, display texts, number of training events
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.plugins.projector import ProjectorConfig, visualize_embeddings  # type: ignore[import-untyped]

from tfrec.models.base import Recommender, RetrievalModel
from tfrec.models.learning import GradientModel
from trainer.data import JobData
from trainer.watch.id_vectors import id_vectors

MOST_ITEMS = 10_000  # the projector computes in the browser, where more make it slow
FOLDER = "projector"


def write_projector(model: Recommender, data: JobData, logs: Path, *, most_items: int = MOST_ITEMS) -> int:
    """Write the vectors of the items that are most frequent in training, the most frequent first.

    Args:
        model: trained.
        data: of the job.
        logs: directory of the job's event files.
        most_items: so many at most.

    Returns:
        How many were written; 0 if the model has no item vectors.

    """
    counts = data.interactions("train").item_counts()
    rows = np.argsort(-counts, kind="stable")[:most_items]
    vectors = _item_vectors(model, data, rows)
    if vectors is None:
        return 0
    folder = logs / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # Not as bytes: TensorBoard tries to read any file as text first, and fails on bytes that begin like it.
    np.savetxt(folder / "item_vectors.tsv", vectors, fmt="%.6g", delimiter="\t")
    _write_metadata(folder / "metadata.tsv", data, rows, counts)
    config = ProjectorConfig()
    config.embeddings.add(
        tensor_name="item vectors",
        tensor_path=f"{FOLDER}/item_vectors.tsv",
        metadata_path=f"{FOLDER}/metadata.tsv",
    )
    visualize_embeddings(str(logs), config)
    return len(rows)


def _item_vectors(model: Recommender, data: JobData, rows: np.ndarray) -> np.ndarray | None:
    """Float [rows, dim]: of the item tower, or the item ids' rows of a table."""
    features = {name: tf.constant(values[rows]) for name, values in data.catalogue.features.items()}
    towers = model.embeddings() if isinstance(model, RetrievalModel) else None
    if towers is not None:
        found: np.ndarray = towers.embed_items(features).numpy()
        return found
    if not isinstance(model, GradientModel):
        return None
    item_id = data.schema.item_id
    return id_vectors(model, item_id, data.catalogue.features[item_id][rows])


def _write_metadata(path: Path, data: JobData, rows: np.ndarray, counts: np.ndarray) -> None:
    catalogue = data.catalogue
    lines = ["\t".join([data.schema.item_id, *catalogue.display, "events"])]
    for row in rows:
        texts = [catalogue.ids[row], *(values[row] for values in catalogue.display.values())]
        lines.append("\t".join([*(_one_line(text) for text in texts), str(counts[row])]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _one_line(text: bytes) -> str:
    return " ".join(text.decode("utf-8", "replace").split())
