"""Optimisers whose step costs what the batch touches, however large the tables are."""

from tfrec.optimizers.average import WeightAverage
from tfrec.optimizers.by_rows import Group, RowOptimizer
from tfrec.optimizers.rules import SGD, Adagrad, Adam, Ftrl, Rule

__all__ = ["SGD", "Adagrad", "Adam", "Ftrl", "Group", "Rule", "RowOptimizer", "WeightAverage"]
