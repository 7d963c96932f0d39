"""Raw values → ids and normalised floats: one TensorFlow graph for Beam, for training and for serving."""

from tfrec.feature_transform.analysis import FeatureAnalysis, NumericAnalysis
from tfrec.feature_transform.missing import is_missing, missing_value
from tfrec.feature_transform.transform import FeatureTransform, build_transform, is_list, raw_specs

__all__ = [
    "FeatureAnalysis",
    "FeatureTransform",
    "NumericAnalysis",
    "build_transform",
    "is_list",
    "is_missing",
    "missing_value",
    "raw_specs",
]
