"""One schema from log to request."""

from tfrec.schema.feature import (
    FIRST_OOV_ID,
    PADDING_ID,
    CategoricalFeature,
    Feature,
    FeatureRole,
    NumericFeature,
    SequenceFeature,
    TextFeature,
)
from tfrec.schema.schema import (
    EVENT_POSITION,
    EVENT_TIME_MS,
    ITEM_INDEX,
    LABEL,
    REQUEST_NAMES,
    RESERVED_NAMES,
    USER_INDEX,
    Label,
    Schema,
    Timestamp,
)
from tfrec.schema.split import SPLITS, LeaveOneOut, Random, Split, Temporal

__all__ = [
    "EVENT_POSITION",
    "EVENT_TIME_MS",
    "FIRST_OOV_ID",
    "ITEM_INDEX",
    "LABEL",
    "PADDING_ID",
    "REQUEST_NAMES",
    "RESERVED_NAMES",
    "SPLITS",
    "USER_INDEX",
    "CategoricalFeature",
    "Feature",
    "FeatureRole",
    "Label",
    "LeaveOneOut",
    "NumericFeature",
    "Random",
    "Schema",
    "SequenceFeature",
    "Split",
    "Temporal",
    "TextFeature",
    "Timestamp",
]
