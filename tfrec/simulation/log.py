"""What a served log holds: one row per impression, with the probability that brought it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from tfrec.simulation.clicks import Responses
from tfrec.simulation.policies import Propensities, Slates
from tfrec.simulation.state import Requests


@dataclass(frozen=True)
class ImpressionLog:
    """Impressions in order of time, requests one after another, positions from 0. All 1-D, of equal length.

    Attributes:
        request: counts the requests from 0.
        round_number: in which it was served.
        moment: over all rounds.
        user: user id.
        context: position in the world's `contexts`.
        item: item index.
        position: 0 is the first.
        clicked: bool.
        rating: stars of a clicked item, else 0.
        propensity: that the item stands at this position. float64
        propensity_in_slate: that it stands in the slate at all. float64
        propensity_given_above: that it stands at this position, given the items above it. float64
        is_random: whether the slate was drawn at random, whatever the scores. bool

    """

    request: np.ndarray
    round_number: np.ndarray
    moment: np.ndarray
    user: np.ndarray
    context: np.ndarray
    item: np.ndarray
    position: np.ndarray
    clicked: np.ndarray
    rating: np.ndarray
    propensity: np.ndarray
    propensity_in_slate: np.ndarray
    propensity_given_above: np.ndarray
    is_random: np.ndarray

    def __len__(self) -> int:
        return len(self.request)

    @classmethod
    def of_requests(
        cls,
        requests: Requests,
        slates: Slates,
        propensities: Propensities,
        responses: Responses,
        *,
        round_number: int,
        first_request: int,
    ) -> ImpressionLog:
        """The rows of one moment; its requests are numbered from `first_request`."""
        number, size = slates.items.shape

        def rows(values: np.ndarray | int) -> np.ndarray:
            return np.repeat(np.broadcast_to(values, number), size)

        return cls(
            request=rows(first_request + np.arange(number)),
            round_number=rows(round_number),
            moment=rows(requests.moment),
            user=rows(requests.user_ids),
            context=rows(requests.contexts),
            item=slates.items.ravel(),
            position=np.tile(np.arange(size), number),
            clicked=responses.clicks.ravel(),
            rating=responses.ratings.ravel(),
            propensity=propensities.at_position.ravel(),
            propensity_in_slate=propensities.in_slate.ravel(),
            propensity_given_above=propensities.given_above.ravel(),
            is_random=rows(slates.is_random),
        )

    @classmethod
    def concatenated(cls, parts: Sequence[ImpressionLog]) -> ImpressionLog:
        """Several logs, one after another. Raises ValueError for none."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def of(self, rows: np.ndarray) -> ImpressionLog:
        """Some of the rows, by position or mask."""
        return ImpressionLog(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})
