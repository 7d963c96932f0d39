"""How sure a number is: intervals over users and seeds, tests between models, and how many users they need."""

from tfrec.certainty.bootstrap import BootstrapSums, Interval, bootstrap_mean
from tfrec.certainty.corrections import benjamini_hochberg, holm
from tfrec.certainty.family import FamilyComparison, compare_with_one
from tfrec.certainty.paired import Comparison, paired_comparison
from tfrec.certainty.power import (
    minimum_detectable_effect,
    minimum_detectable_effect_between,
    users_needed,
    users_needed_between,
)
from tfrec.certainty.seeds import SeedSummary, seed_summary

__all__ = [
    "BootstrapSums",
    "Comparison",
    "FamilyComparison",
    "Interval",
    "SeedSummary",
    "benjamini_hochberg",
    "bootstrap_mean",
    "compare_with_one",
    "holm",
    "minimum_detectable_effect",
    "minimum_detectable_effect_between",
    "paired_comparison",
    "seed_summary",
    "users_needed",
    "users_needed_between",
]
