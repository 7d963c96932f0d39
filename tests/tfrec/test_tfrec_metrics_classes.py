"""Probabilities of classes against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from tfrec.metrics import class_accuracy, class_log_loss


def test_they_are_those_of_scikit_learn():
    random = np.random.default_rng(4)
    probabilities = random.dirichlet(np.ones(5), size=300)
    classes = random.integers(5, size=300)
    assert class_log_loss(classes, probabilities) == pytest.approx(log_loss(classes, probabilities), rel=1e-12)
    assert class_accuracy(classes, probabilities) == accuracy_score(classes, probabilities.argmax(axis=1))


def test_what_was_called_impossible_costs_much_and_ties_go_to_the_lower_class():
    certain = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert class_log_loss(np.array([1, 0]), certain) == pytest.approx((15 * math.log(10) + math.log(2)) / 2)
    assert class_accuracy(np.array([0, 1]), certain) == 0.5


def test_of_no_rows_nothing_is_said():
    none = np.zeros(0, np.int64), np.zeros((0, 3))
    assert math.isnan(class_log_loss(*none))
    assert math.isnan(class_accuracy(*none))
