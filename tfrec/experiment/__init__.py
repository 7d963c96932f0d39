"""What an A/B test says: effects per metric with intervals, with CUPED, and always valid where one peeks."""

from tfrec.experiment.analysis import Settings, analyse
from tfrec.experiment.log import read_log
from tfrec.experiment.metric import Metric, parse_metric
from tfrec.experiment.users import ExperimentUsers, LogColumns, users_of

__all__ = ["ExperimentUsers", "LogColumns", "Metric", "Settings", "analyse", "parse_metric", "read_log", "users_of"]
