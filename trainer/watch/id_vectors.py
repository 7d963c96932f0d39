"""The vector that a model has learnt for an id, wherever its rows stand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrec.layers.id_tables import IdTable
from tfrec.layers.tables import look_up, main_row
from tfrec.models.learning import GradientModel


def id_vectors(model: GradientModel, feature: str, ids: np.ndarray) -> np.ndarray | None:
    """Vectors of ids of a feature: float [ids, dim]; None where the model has no table of vectors for it.

    Args:
        model: trained.
        feature: whose ids.
        ids: encoded. int64 [ids]

    """
    found = [table for table in model.id_tables() if table.feature == feature and _has_vectors(table)]
    main = next((table for table in found if not table.is_quotient), None)
    if main is None:
        return None
    asked = tf.constant(ids, tf.int64)
    vectors: np.ndarray = look_up(main.variable, main.first_row + main_row(asked, main.plan)).numpy()
    other = next((table for table in found if table.is_quotient), None)
    if other is not None:
        vectors = vectors * look_up(other.variable, other.first_row + asked // other.plan.rows).numpy()
    return vectors


def _has_vectors(table: IdTable) -> bool:
    """Not the first-order weights, and not rows that no id looks up."""
    return table.plan.kind != "fixed" and table.variable.shape[1] > 1
