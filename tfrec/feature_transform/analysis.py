"""What the transform needs to know about the training data: vocabularies, moments, quantiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tfrec.config_file import Config


class NumericAnalysis(Config):
    """Moments of g(x) and quantile boundaries of x over the training split; g as `NumericFeature` says."""

    mean: float = 0.0
    standard_deviation: float = 1.0
    boundaries: tuple[float, ...] = ()


@dataclass(frozen=True)
class FeatureAnalysis:
    """Analysis of a whole dataset.

    Attributes:
        vocabulary_files: feature → text file of one token per line, the most frequent first.
        vocabulary_sizes: feature → number of tokens in that file.
        numeric: feature → moments and boundaries.

    """

    vocabulary_files: dict[str, Path] = field(default_factory=dict)
    vocabulary_sizes: dict[str, int] = field(default_factory=dict)
    numeric: dict[str, NumericAnalysis] = field(default_factory=dict)
