"""Raw values → ids and normalised floats: one TensorFlow graph for Beam, for training and for serving."""

from tfrec.feature_transform.analysis import FeatureAnalysis, NumericAnalysis
from tfrec.feature_transform.transform import (
    FeatureTransform,
    build_transform,
    is_missing,
    missing_value,
    raw_specs,
)

__all__ = [
    "FeatureAnalysis",
    "FeatureTransform",
    "NumericAnalysis",
    "build_transform",
    "is_missing",
    "missing_value",
    "raw_specs",
]
