"""All estimators on one log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.off_policy import actions, slate_estimators
from tfrec.off_policy.estimate import Estimate
from tfrec.off_policy.log import LoggedActions
from tfrec.off_policy.slates import LoggedSlates
from tfrec.off_policy.switch import switch_doubly_robust
from tfrec.off_policy.weights import WeightCheck

ACTION_ESTIMATORS = (actions.ips, actions.self_normalised_ips, actions.clipped_ips, actions.replay)
MODEL_ESTIMATORS = (
    actions.direct_method,
    actions.doubly_robust,
    actions.self_normalised_doubly_robust,
    switch_doubly_robust,
)


@dataclass(frozen=True)
class OffPolicyEvaluation:
    """What a log says about a policy.

    Attributes:
        logged_value: mean reward of the log itself, the logging policy's value, with its interval.
        estimates: by the estimators that the log allows.
        weights: by what they hang on, its check: "actions", or for slates "slate", "prefix" and "position".

    """

    logged_value: Estimate
    estimates: tuple[Estimate, ...]
    weights: dict[str, WeightCheck]

    def warnings(self) -> list[str]:
        """What is wrong with the weights, in words."""
        name_each = len(self.weights) > 1
        return [
            f"{name} weights: {warning}" if name_each else warning
            for name, check in self.weights.items()
            for warning in check.warnings()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {
            "logged_value": self.logged_value.as_dict(),
            "estimates": {estimate.estimator: estimate.as_dict() for estimate in self.estimates},
            "weights": {name: check.as_dict() for name, check in self.weights.items()},
            "warnings": self.warnings(),
        }


def evaluate_actions(log: LoggedActions) -> OffPolicyEvaluation:
    """Every single-action estimator; those with a reward model where the log has predictions."""
    used = ACTION_ESTIMATORS + (MODEL_ESTIMATORS if log.logged_predictions is not None else ())
    return OffPolicyEvaluation(_logged_value(log), tuple(use(log) for use in used), {"actions": log.check})


def evaluate_slates(log: LoggedSlates) -> OffPolicyEvaluation:
    """Every slate estimator that the log has the propensities for."""
    estimates = [slate_estimators.standard_ips(log)]
    checks = {"slate": slate_estimators.slate_check(log)}
    for is_normalised in (False, True):
        estimates.append(slate_estimators.reward_interaction_ips(log, self_normalised=is_normalised))
    checks["prefix"] = slate_estimators.position_check(log.prefix_weights, log)
    if log.position_propensities is not None:
        for is_normalised in (False, True):
            estimates.append(slate_estimators.independent_ips(log, self_normalised=is_normalised))
        checks["position"] = slate_estimators.position_check(log.position_weights_of_actions, log)
    if log.logged_predictions is not None:
        estimates.append(slate_estimators.cascade_doubly_robust(log))
    return OffPolicyEvaluation(slate_estimators.logged_value(log), tuple(estimates), checks)


def _logged_value(log: LoggedActions) -> Estimate:
    same = LoggedActions(log.rewards, np.ones_like(log.propensities), np.ones_like(log.propensities), log.labels)
    return actions.ips(same)
