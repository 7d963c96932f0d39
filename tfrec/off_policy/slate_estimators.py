"""The value of a policy from a log of slates: V(π) = E Σ_k α_k r_k over the slates that π would show.

They differ in what a reward may depend on, and so in their weights and their variance:

| estimator | the reward at k may depend on | weight at k |
|---|---|---|
| standard IPS | the whole slate | Π over the whole slate |
| reward-interaction IPS, cascade doubly robust | the items down to k (a user reads from the top) | Π_{j≤k} |
| independent IPS | the item at k alone | the marginal ratio at k |

Each is unbiased where its assumption holds; the interval is claimed on that condition.
"""

from __future__ import annotations

import numpy as np

from tfrec.errors import DataError
from tfrec.off_policy.estimate import Estimate, estimate_of
from tfrec.off_policy.slates import LoggedSlates
from tfrec.off_policy.weights import WeightCheck


def standard_ips(log: LoggedSlates, *, self_normalised: bool = False) -> Estimate:
    """mean(w Σ_k α_k r_k), w the ratio of the whole slate's probabilities. Unbiased whatever users do."""
    whole = np.repeat(log.prefix_weights[..., -1:], log.rewards.shape[-1], axis=-1)
    return _by_position("standard_ips", log, whole, self_normalised)


def independent_ips(log: LoggedSlates, *, self_normalised: bool = False) -> Estimate:
    """Σ_k mean(w_k α_k r_k), w_k the ratio of the marginal probabilities of the item at k.

    Source: Li et al., "Offline evaluation of ranking policies with click models" (2018), item-position model.
    """
    return _by_position("independent_ips", log, log.position_weights_of_actions, self_normalised)


def reward_interaction_ips(log: LoggedSlates, *, self_normalised: bool = False) -> Estimate:
    """Σ_k mean(w_{1:k} α_k r_k), w_{1:k} the ratio of the probabilities of the items down to k.

    Source: McInerney et al., "Counterfactual evaluation of slate recommendations with sequential reward interactions"
    (2020); the paper's own estimator is the self-normalised one.
    """
    return _by_position("reward_interaction_ips", log, log.prefix_weights, self_normalised)


def cascade_doubly_robust(log: LoggedSlates) -> Estimate:
    """Mean Σ_k [w_{1:k} (α_k r_k − Q̂_k(x, a_{1:k})) + w_{1:k−1} Σ_a π(a|x, a_{1:k−1}) Q̂_k(x, a_{1:k−1}, a)].

    Q̂_k estimates Σ_{l≥k} α_l r_l; what follows k enters through the next position's second term.

    Source: Kiyohara et al., "Doubly robust off-policy evaluation for ranking policies under the cascade behavior
    model" (2022), equation 9.

    """
    if log.logged_predictions is None or log.target_predictions is None:
        raise DataError("cascade doubly robust needs a reward model: give logged_predictions and target_predictions")
    weights = log.prefix_weights
    before = np.concatenate([np.ones_like(weights[..., :1]), weights[..., :-1]], axis=-1)
    terms = weights * (log.weighted_rewards - log.logged_predictions) + before * log.target_predictions
    per_slate = np.where(log.shown, terms, 0.0).sum(axis=-1)
    value = per_slate.mean(axis=-1)
    supports = position_check(weights, log).supports_intervals
    return estimate_of("cascade_doubly_robust", value, per_slate - value[..., None], log.clusters, supports)


def logged_value(log: LoggedSlates) -> Estimate:
    """The logging policy's own value."""
    per_slate = log.weighted_rewards.sum(axis=-1)
    value = per_slate.mean(axis=-1)
    return estimate_of("logged", value, per_slate - value[..., None], log.clusters, np.asarray(True))


def values_by_position(log: LoggedSlates, weights: np.ndarray, *, self_normalised: bool = False) -> list[Estimate]:
    """Each position's part of the value, with these weights: one estimate per position.

    Args:
        log: slates.
        weights: of every position, such as `log.prefix_weights`. float [..., slates, positions]
        self_normalised: divide by the weights of the slates that have the position.

    """
    parts, influence = _parts(log, weights, self_normalised)
    supports = position_check(weights, log).supports_intervals
    return [
        estimate_of(f"position_{k + 1}", parts[..., k], influence[..., k], log.clusters, supports)
        for k in range(parts.shape[-1])
    ]


def slate_check(log: LoggedSlates) -> WeightCheck:
    """The check of the whole slates' weights."""
    return WeightCheck.of(log.prefix_weights[..., -1], log.clusters)


def position_check(weights: np.ndarray, log: LoggedSlates) -> WeightCheck:
    """The check of the position whose weights vary most: the one with the fewest effective slates."""
    checks = [WeightCheck.of(weights[..., k], log.clusters) for k in range(weights.shape[-1])]
    worst = np.argmin([check.effective_clusters for check in checks], axis=0)

    def pick(name: str) -> np.ndarray:
        stacked = np.stack([getattr(check, name) for check in checks])
        return np.take_along_axis(stacked, worst[None], axis=0)[0]

    return WeightCheck(**{name: pick(name) for name in WeightCheck.__dataclass_fields__})


def _by_position(name: str, log: LoggedSlates, weights: np.ndarray, self_normalised: bool) -> Estimate:
    parts, influence = _parts(log, weights, self_normalised)
    supports = position_check(weights, log).supports_intervals
    full_name = f"self_normalised_{name}" if self_normalised else name
    return estimate_of(full_name, parts.sum(axis=-1), influence.sum(axis=-1), log.clusters, supports)


def _parts(log: LoggedSlates, weights: np.ndarray, self_normalised: bool) -> tuple[np.ndarray, np.ndarray]:
    """Value of each position, [..., positions], and what each slate moves it by, [..., slates, positions]."""
    rewards, shown = log.weighted_rewards, log.shown
    if not self_normalised:
        parts = (weights * rewards).mean(axis=-2)
        return parts, weights * rewards - parts[..., None, :]
    # (weighted mean over the slates that have the position) × (share of slates that have it)
    of_shown = np.where(shown, weights, 0.0)
    mean_weight = of_shown.mean(axis=-2)
    safe = np.where(mean_weight > 0, mean_weight, 1.0)
    ratio = (weights * rewards).mean(axis=-2) / safe
    share = shown.mean(axis=-2)
    scale = (share / safe)[..., None, :]
    influence = scale * of_shown * (rewards - ratio[..., None, :])
    influence = influence + ratio[..., None, :] * (shown - share[..., None, :])
    return ratio * share, influence
