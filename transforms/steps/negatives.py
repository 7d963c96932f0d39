"""Which events become records: all, or of the negatives of training only a share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tfrec.schema import LABEL
from transforms.filters import KeepNegatives
from transforms.read.typed import SOURCE
from transforms.steps.mix import spread
from transforms.steps.split import KEPT, TRAIN

LEFT_OUT = "training event with label 0 that filters.keep_negatives leaves out"


def written_rows(events: pa.Table, split: np.ndarray, keep: KeepNegatives | None) -> np.ndarray:
    """Bool [rows].

    Histories, vocabularies and statistics see all events: they describe what a model is asked, not what it is shown.

    Args:
        events: any, with label and place in the log.
        split: index into `SPLITS` of each. int8 [rows]
        keep: None keeps all.

    """
    if keep is None:
        return np.ones(events.num_rows, bool)
    is_negative = (split == TRAIN) & (events.column(LABEL).to_numpy() == 0)
    return ~is_negative | (spread(events.column(SOURCE).to_numpy(), keep.seed, KEPT) < keep.share)
