"""What the numbers in metrics.json mean. Each metric is checked against a plain loop in the tests."""

from tfrec.metrics.classification import auc, log_loss
from tfrec.metrics.ranking import ranking_metrics
from tfrec.metrics.rating import mean_absolute_error, root_mean_squared_error

__all__ = ["auc", "log_loss", "mean_absolute_error", "ranking_metrics", "root_mean_squared_error"]
