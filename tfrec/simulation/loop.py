"""The closed loop: serve, log, train on the log, serve by what was learnt (Chaney et al. 2018; Jiang et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator

from tfrec.config_file import Config
from tfrec.simulation.judgement import RoundFigures, judge
from tfrec.simulation.log import ImpressionLog
from tfrec.simulation.policies import POLICIES, Greedy, Policy, PolicyConfig, Uniform
from tfrec.simulation.shadow import Shadow
from tfrec.simulation.state import State
from tfrec.simulation.traffic import serve
from tfrec.simulation.training import TrainingConfig, learnt_scorer, popularity_scorer, table_scorer, training_rows
from tfrec.simulation.value import Scorer, oracle
from tfrec.simulation.world import World, WorldConfig


class LoopConfig(Config):
    """A world, a recommender in it, and how many times it learns from its own log."""

    rounds: int = Field(10, ge=1, description="the first is served at random in every loop: there is no model yet")
    scores: Literal["learnt", "popularity", "oracle"] = Field("learnt", description="what the policy ranks by")
    policy: PolicyConfig = Greedy()
    training: TrainingConfig = TrainingConfig()
    world: WorldConfig = WorldConfig()
    k: int = Field(10, ge=1, description="length of the lists that recall and likeness are measured on")

    @model_validator(mode="after")
    def _lists_can_be_filled(self) -> LoopConfig:
        if self.k > self.world.first_items:
            raise ValueError(
                f"k: lists of {self.k} cannot be filled, {self.world.first_items} items are there in the first round; "
                "take a smaller k or more items"
            )
        if self.training.validation_visits >= self.world.visits_per_round:
            raise ValueError(
                f"training: validation_visits: {self.training.validation_visits} of {self.world.visits_per_round} "
                "visits_per_round leave none to learn from; take fewer"
            )
        return self

    @field_validator("policy", mode="before")
    @classmethod
    def _settings_are_of_the_policy(cls, given: Any) -> Any:
        """Name the policy that has a setting which the chosen one lacks."""
        if not isinstance(given, dict):
            return given
        kind = given.get("kind", Greedy().kind)
        for key in given:
            owners = [name for name, policy in POLICIES.items() if key in policy.model_fields]
            if kind in POLICIES and owners and kind not in owners:
                raise ValueError(f"the policy {kind!r} has no {key!r}, {owners[0]!r} has; choose --policy {owners[0]}")
        return given

    @field_validator("training")
    @classmethod
    def _random_traffic_is_there(cls, training: TrainingConfig, info: ValidationInfo) -> TrainingConfig:
        policy = info.data.get("policy")
        if training.validation_rows == "random" and policy is not None and not policy.has_random_requests:
            raise ValueError(
                f"validation_rows: random: the policy {policy.kind!r} answers no requests at random, so nothing is "
                "there to validate on; choose uniform, epsilon_greedy with an epsilon above 0, or validation_rows: all"
            )
        return training


@dataclass(frozen=True)
class LoopResult:
    """A finished loop: the world's last state, what was logged, and the figures of each round."""

    state: State
    log: ImpressionLog
    figures: list[RoundFigures]


def run_loop(
    config: LoopConfig, seed: int, on_round: Callable[[RoundFigures], Any] = lambda figures: None
) -> LoopResult:
    """Serve and learn for all rounds; `on_round` hears of each. Loops of one seed meet the same users and luck.

    Towards the end of a round a recommender is trained on the log up to then; the last moments of the round, still
    served by the one before it, validate it; and it serves the next round.
    """
    state = State.at_start(World(config.world, seed))
    logs: list[ImpressionLog] = []
    figures: list[RoundFigures] = []
    policy: Policy = Uniform()
    scorer, number = table_scorer(np.zeros((1, config.world.items))), 0
    last = config.training.validation_visits
    for round_number in range(config.rounds):
        if round_number:
            state.next_round()
        first = serve(
            state, policy, scorer, moments=config.world.visits_per_round - last, seed=seed, first_request=number
        )
        number += first.requests
        new = _learn(config, state, [*logs, first.log])
        shadow = Shadow(new, config.k)
        second = serve(state, policy, scorer, moments=last, seed=seed, first_request=number, observe=shadow)
        number += second.requests
        logs += [first.log, second.log]
        figures.append(judge(config.training, state, (first, second), new, shadow, seed=seed, k=config.k))
        on_round(figures[-1])
        policy, scorer = config.policy, new
    return LoopResult(state, ImpressionLog.concatenated(logs), figures)


def _learn(config: LoopConfig, state: State, logs: list[ImpressionLog]) -> Scorer:
    """New scores, from the log alone (but for the oracle's)."""
    if config.scores == "oracle":
        return oracle(state)
    rows = training_rows(config.training, ImpressionLog.concatenated(logs))
    if config.scores == "popularity":
        return popularity_scorer(config.training, rows, config.world.items)
    return learnt_scorer(config.training, rows, state.next_user_id, config.world.items)
