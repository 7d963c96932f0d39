"""Whether a user clicks: taste in context, quality, popularity, fatigue and novelty, at a position that is seen or not.

    P(click on i at position p | u, c, state) = examination_p · (false + (1 − false − missed) · σ(logit))
    logit = base + t ⟨θ_u + s δ_c, g_i⟩ + q quality_i + v popularity_i + n ν_u / (1 + shown_ui) − f ⟨fatigue_u, g_i⟩

Examination by position: Richardson et al. 2007; satiation with what was consumed, and observable context: RecSim (Ie et
al. 2019); tastes that clicks pull along: Jiang et al. 2019; users in groups of like taste, and a loop that closes over
their clicks: Chaney et al. 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from tfrec.simulation.draws import Stream, normals, uniforms
from tfrec.simulation.state import Requests, State

STARS = (1, 5)


@dataclass(frozen=True)
class Responses:
    """What users did. clicks: bool [requests, slate]; ratings: stars of what was clicked, else 0. int64, same shape."""

    clicks: np.ndarray
    ratings: np.ndarray


def logits(state: State, requests: Requests, items: np.ndarray | None = None) -> np.ndarray:
    """Log-odds of wanting each item: of `items` int64 [requests, slate], or of all. float64, same shape"""
    world, config = state.world, state.world.config
    slots = requests.slots
    taste = state.tastes[slots] + config.context_strength * world.context_tastes[requests.contexts]
    pull = config.taste_strength * taste - config.fatigue_strength * state.fatigue[slots]
    seeking = config.novelty_strength * world.novelty_seeking(requests.user_ids)[:, None]
    appeal = config.base_logit + config.quality_strength * world.quality
    appeal = appeal + config.popularity_strength * _popularity(state)
    if items is None:
        return pull @ world.item_genres.T + appeal + seeking / (1 + state.shown[slots])
    affinity = np.einsum("rg,rsg->rs", pull, world.item_genres[items])
    return affinity + appeal[items] + seeking / (1 + state.shown[slots[:, None], items])


def _popularity(state: State) -> np.ndarray:
    """log(1 + clicks) of each item, as a share of the most clicked one's. float64 [items]"""
    heat = np.log1p(state.item_clicks)
    return heat / max(heat.max(), 1.0)


def attraction(state: State, requests: Requests, items: np.ndarray | None = None) -> np.ndarray:
    """Probability of a click on an item that is looked at; shapes as `logits`."""
    config = state.world.config
    sure = 1 - config.false_clicks - config.missed_clicks
    return config.false_clicks + sure * np.asarray(expit(logits(state, requests, items)))


def click_probability(state: State, requests: Requests, items: np.ndarray) -> np.ndarray:
    """Of slates int64 [requests, slate], in their order. float64 [requests, slate]"""
    return state.world.examination[: items.shape[1]] * attraction(state, requests, items)


def expected_reward(state: State, requests: Requests, items: np.ndarray) -> np.ndarray:
    """Expected clicks of each request, were it shown these slates. float64 [requests]"""
    return click_probability(state, requests, items).sum(axis=1)


def respond(state: State, requests: Requests, items: np.ndarray) -> Responses:
    """Draw what users do; the state stays as it is (`State.after` moves it).

    What is looked at is drawn by user and position, whether an item is wanted by user and item.
    """
    world, config = state.world, state.world.config
    key = (requests.moment, requests.user_ids[:, None])
    positions = np.arange(items.shape[1])
    looked_at = uniforms(world.seed, Stream.EXAMINATION, *key, positions) < world.examination[: items.shape[1]]
    wanted = uniforms(world.seed, Stream.ATTRACTION, *key, items) < expit(logits(state, requests, items))
    slip = uniforms(world.seed, Stream.MISTAKE, *key, items) < np.where(
        wanted, config.missed_clicks, config.false_clicks
    )
    clicks = looked_at & (wanted ^ slip)
    noise = config.rating_noise * normals(world.seed, Stream.RATING, *key, items)
    stars = np.clip(np.rint(3 + opinion(state, requests, items) + noise), *STARS).astype(np.int64)
    return Responses(clicks, np.where(clicks, stars, 0))


def opinion(state: State, requests: Requests, items: np.ndarray) -> np.ndarray:
    """What a user thinks of an item once tried, in stars around 3: taste and quality. float64 [requests, slate]"""
    world, config = state.world, state.world.config
    affinity = np.einsum("rg,rsg->rs", state.tastes[requests.slots], world.item_genres[items])
    return config.taste_strength * affinity + config.quality_strength * world.quality[items]


def expected_rating(state: State, requests: Requests, items: np.ndarray) -> np.ndarray:
    """Mean stars of a click: 1 + Σ P(stars > r) over r = 1 … 4. float64 [requests, slate]"""
    low, high = STARS
    edges = np.arange(low, high) + 0.5
    above = ndtr((3 + opinion(state, requests, items)[..., None] - edges) / state.world.config.rating_noise)
    return low + np.asarray(above).sum(axis=-1)
