"""The value of a policy from the logs of another, and what positions do to clicks: docs/off-policy.md."""

from tfrec.off_policy.actions import (
    clipped_ips,
    direct_method,
    doubly_robust,
    ips,
    replay,
    self_normalised_doubly_robust,
    self_normalised_ips,
)
from tfrec.off_policy.click_model import ClickModel, LogisticRelevance, RelevanceByGroup, fit_click_model
from tfrec.off_policy.estimate import Estimate
from tfrec.off_policy.evaluation import OffPolicyEvaluation, evaluate_actions, evaluate_slates
from tfrec.off_policy.examination import Examination, inverse_examination_weights
from tfrec.off_policy.intervention_harvesting import examination_by_harvesting
from tfrec.off_policy.log import LoggedActions
from tfrec.off_policy.policies import (
    epsilon_greedy_policy,
    epsilon_greedy_policy_of_groups,
    softmax_policy,
    softmax_policy_of_groups,
)
from tfrec.off_policy.randomised_positions import examination_from_random_traffic
from tfrec.off_policy.slate_estimators import (
    cascade_doubly_robust,
    independent_ips,
    reward_interaction_ips,
    standard_ips,
    values_by_position,
)
from tfrec.off_policy.slates import LoggedSlates
from tfrec.off_policy.switch import slope_threshold, switch_doubly_robust
from tfrec.off_policy.weights import WeightCheck

__all__ = [
    "ClickModel",
    "Estimate",
    "Examination",
    "LoggedActions",
    "LoggedSlates",
    "LogisticRelevance",
    "OffPolicyEvaluation",
    "RelevanceByGroup",
    "WeightCheck",
    "cascade_doubly_robust",
    "clipped_ips",
    "direct_method",
    "doubly_robust",
    "epsilon_greedy_policy",
    "epsilon_greedy_policy_of_groups",
    "evaluate_actions",
    "evaluate_slates",
    "examination_by_harvesting",
    "examination_from_random_traffic",
    "fit_click_model",
    "independent_ips",
    "inverse_examination_weights",
    "ips",
    "replay",
    "reward_interaction_ips",
    "self_normalised_doubly_robust",
    "self_normalised_ips",
    "slope_threshold",
    "softmax_policy",
    "softmax_policy_of_groups",
    "standard_ips",
    "switch_doubly_robust",
    "values_by_position",
]
