"""What the numbers in metrics.json mean: docs/metrics.md. Each is checked against a plain loop or another library."""

from tfrec.metrics.beyond_accuracy import BeyondAccuracy, popularity_lift
from tfrec.metrics.calibration import (
    ReliabilityBins,
    calibration_ratio,
    equal_mass_bins,
    expected_calibration_error,
    prediction_bias,
    prediction_bias_by_group,
    reliability_bins,
)
from tfrec.metrics.classes import class_accuracy, class_log_loss
from tfrec.metrics.classification import auc, gauc, log_loss, log_losses, normalised_entropy, pr_auc
from tfrec.metrics.event_streaming import ErrorAccumulator, EventAccumulator
from tfrec.metrics.exposure import coverage, exposure_counts, gini
from tfrec.metrics.facts import ItemFacts, ItemGroups, Profiles, multi_hot
from tfrec.metrics.fairness import (
    ItemGroupExposure,
    UserGroups,
    compare_user_groups,
    item_group_exposure,
    place_counts,
    popularity_groups,
    relevant_counts,
)
from tfrec.metrics.full_ranking import full_ranking_auc
from tfrec.metrics.grouped import GroupedMetric
from tfrec.metrics.lists import NO_ITEM, RankedLists
from tfrec.metrics.rank_correlation import kendall, kendall_by_group, spearman, spearman_by_group
from tfrec.metrics.ranking import ranking_metric_names, ranking_metrics
from tfrec.metrics.rating import mae_by_group, mean_absolute_error, rmse_by_group, root_mean_squared_error
from tfrec.metrics.requests import ndcg_by_group
from tfrec.metrics.streaming import RankingAccumulator
from tfrec.metrics.top_k import top_unseen

__all__ = [
    "NO_ITEM",
    "BeyondAccuracy",
    "ErrorAccumulator",
    "EventAccumulator",
    "GroupedMetric",
    "ItemFacts",
    "ItemGroupExposure",
    "ItemGroups",
    "Profiles",
    "RankedLists",
    "RankingAccumulator",
    "ReliabilityBins",
    "UserGroups",
    "auc",
    "calibration_ratio",
    "compare_user_groups",
    "class_accuracy",
    "class_log_loss",
    "coverage",
    "equal_mass_bins",
    "expected_calibration_error",
    "exposure_counts",
    "full_ranking_auc",
    "gauc",
    "gini",
    "item_group_exposure",
    "kendall",
    "kendall_by_group",
    "log_loss",
    "log_losses",
    "mae_by_group",
    "mean_absolute_error",
    "multi_hot",
    "ndcg_by_group",
    "normalised_entropy",
    "place_counts",
    "popularity_groups",
    "popularity_lift",
    "pr_auc",
    "prediction_bias",
    "prediction_bias_by_group",
    "ranking_metric_names",
    "ranking_metrics",
    "relevant_counts",
    "reliability_bins",
    "rmse_by_group",
    "root_mean_squared_error",
    "spearman",
    "spearman_by_group",
    "top_unseen",
]
