"""What is so, whatever is recommended: the catalogue, who comes when, and how tastes move by themselves."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from pydantic import Field, model_validator

from tfrec.config_file import Config
from tfrec.simulation.draws import Stream, normals, uniforms


class WorldConfig(Config):
    """Size and habits of the simulated world. Strengths are on the scale of log-odds, and 0 switches a term off."""

    users: int = Field(1000, ge=1, description="at any one time")
    items: int = Field(300, ge=1, description="in all")
    late_items: float = Field(0.4, ge=0, lt=1, description="share that arrives after the first round")
    arrival_rounds: int = Field(10, ge=1, description="rounds over which they arrive")
    slate: int = Field(5, ge=1, description="items shown per visit")
    visits_per_round: int = Field(10, ge=2, description="moments of a round at which a user may come")
    mean_activity: float = Field(0.5, gt=0, lt=1, description="probability that a user comes, mean over users")
    user_churn: float = Field(0.02, ge=0, le=1, description="share of users replaced by new ones each round")

    genres: int = Field(8, ge=1)
    segments: int = Field(5, ge=1, description="groups of users of like taste")
    segment_share: float = Field(0.7, ge=0, le=1, description="share of the variance of tastes between segments")
    contexts: tuple[str, ...] = Field(("morning", "day", "evening"), min_length=1)
    base_logit: float = Field(-2.5, description="log-odds of a click on an examined item of no special appeal")
    taste_strength: float = Field(2.0, ge=0)
    quality_strength: float = Field(0.5, ge=0, description="what an item appeals to everybody")
    context_strength: float = Field(0.5, ge=0, description="how much the context shifts all tastes")
    popularity_strength: float = Field(0.5, ge=0, description="attraction of what others have clicked")
    fatigue_strength: float = Field(0.5, ge=0, description="satiation with the genres of recent clicks")
    fatigue_memory: float = Field(0.8, ge=0, lt=1, description="what is left of it from one moment to the next")
    novelty_strength: float = Field(0.5, ge=0, description="appeal of what the user was not shown before")
    taste_drift: float = Field(0.1, ge=0, lt=1, description="correlation lost per round is about half its square")
    taste_influence: float = Field(0.0, ge=0, description="pull of a click on the taste for its genres")

    examination_power: float = Field(0.7, ge=0, description="position p is looked at with probability p^-power")
    missed_clicks: float = Field(0.05, ge=0, lt=0.5, description="probability that a wanted item is not clicked")
    false_clicks: float = Field(0.01, ge=0, lt=0.5, description="probability that an unwanted one is")
    rating_noise: float = Field(0.7, gt=0, description="standard deviation, in stars")
    repeats: bool = Field(False, description="whether a clicked item may be shown to its user again")

    @model_validator(mode="after")
    def _slates_can_be_filled(self) -> WorldConfig:
        if self.first_items < self.slate:
            raise ValueError(
                f"slate: {self.slate} items are to be shown, but only {self.first_items} of {self.items} are there in "
                "the first round; take more items, fewer late_items or a smaller slate"
            )
        return self

    @property
    def first_items(self) -> int:
        """Items that are there from the beginning."""
        return self.items - int(self.items * self.late_items)


class World:
    """Everything that does not depend on the policy; each draw follows from the seed and its place alone.

    Attributes:
        item_genres: share of each genre in each item; rows sum to 1. float64 [items, genres]
        main_genre: the genre that an item has most of. int64 [items]
        quality: standard normal. float64 [items]
        arrival_round: the first round in which each item can be shown. int64 [items]
        context_tastes: what each context adds to all tastes. float64 [contexts, genres]
        examination: probability that a position is looked at. float64 [slate]

    """

    def __init__(self, config: WorldConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        items, genres = np.arange(config.items), np.arange(config.genres)
        weight = uniforms(seed, Stream.GENRE, items[:, None], genres) ** 8  # one or two genres make an item
        self.item_genres = weight / weight.sum(axis=1, keepdims=True)
        self.main_genre = self.item_genres.argmax(axis=1)
        self.quality = normals(seed, Stream.QUALITY, items)
        self.arrival_round = self._arrivals()
        contexts = np.arange(len(config.contexts))
        self.context_tastes = normals(seed, Stream.CONTEXT_TASTE, contexts[:, None], genres)
        self.examination = (1.0 + np.arange(config.slate)) ** -config.examination_power

    def _arrivals(self) -> np.ndarray:
        """Which items are late is a lottery; they come in equal parts in rounds 1 … `arrival_rounds`."""
        config = self.config
        order = np.argsort(uniforms(self.seed, Stream.ARRIVAL, np.arange(config.items)))
        late = config.items - config.first_items
        rounds = np.zeros(config.items, np.int64)
        rounds[order[config.first_items :]] = 1 + np.arange(late) * config.arrival_rounds // max(late, 1)
        return rounds

    @cached_property
    def _segment_tastes(self) -> np.ndarray:
        segments, genres = np.arange(self.config.segments), np.arange(self.config.genres)
        return normals(self.seed, Stream.SEGMENT_TASTE, segments[:, None], genres)

    def segments(self, user_ids: np.ndarray) -> np.ndarray:
        """The group of like taste of each user. int64 [users]"""
        return (uniforms(self.seed, Stream.SEGMENT, user_ids) * self.config.segments).astype(np.int64)

    def first_tastes(self, user_ids: np.ndarray) -> np.ndarray:
        """Tastes on arrival, standard normal per genre, alike within a segment. float64 [users, genres]"""
        share, genres = self.config.segment_share, np.arange(self.config.genres)
        own = normals(self.seed, Stream.TASTE, user_ids[:, None], genres)
        return np.sqrt(share) * self._segment_tastes[self.segments(user_ids)] + np.sqrt(1 - share) * own

    def drifted(self, tastes: np.ndarray, user_ids: np.ndarray, round_number: int) -> np.ndarray:
        """Tastes a round later: √(1 − d²) θ + d ε, which keeps their variance. float64 [users, genres]"""
        drift, genres = self.config.taste_drift, np.arange(self.config.genres)
        step = normals(self.seed, Stream.DRIFT, round_number, user_ids[:, None], genres)
        return np.sqrt(1 - drift**2) * tastes + drift * step

    def activity(self, user_ids: np.ndarray) -> np.ndarray:
        """Probability that a user comes at a moment: u^(1/m − 1), of mean m over users. float64 [users]"""
        return uniforms(self.seed, Stream.ACTIVITY, user_ids) ** (1 / self.config.mean_activity - 1)

    def novelty_seeking(self, user_ids: np.ndarray) -> np.ndarray:
        """How much a user wants what was not shown before, from 0 to 2, mean 1. float64 [users]"""
        return 2 * uniforms(self.seed, Stream.NOVELTY, user_ids)

    def leaves(self, slots: np.ndarray, round_number: int) -> np.ndarray:
        """Which users go at the end of a round. bool [slots]"""
        return uniforms(self.seed, Stream.CHURN, round_number, slots) < self.config.user_churn
