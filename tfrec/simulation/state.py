"""What changes as users come and are shown things."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from tfrec.simulation.draws import Stream, uniforms
from tfrec.simulation.world import World


@dataclass(frozen=True)
class Requests:
    """The users who come at one moment.

    Attributes:
        moment: counts the moments since the beginning, over all rounds.
        slots: rows of the state; a user stands at most once in a moment. int64 [requests]
        user_ids: who they are; an id is never given twice. int64 [requests]
        contexts: position in the world's `contexts`. int64 [requests]

    """

    moment: int
    slots: np.ndarray
    user_ids: np.ndarray
    contexts: np.ndarray

    def __len__(self) -> int:
        return len(self.slots)


@dataclass
class State:
    """The world at one moment. A slot holds one user at a time; who leaves is replaced at the end of a round.

    Attributes:
        user_ids: who holds each slot. int64 [slots]
        tastes: float64 [slots, genres]
        fatigue: decayed sum of the genres of recent clicks. float64 [slots, genres]
        shown: times that the user was shown the item. int64 [slots, items]
        clicked: whether the user has clicked the item. bool [slots, items]
        item_clicks: of all users so far. int64 [items]
        next_user_id: the id of the next new user; all smaller ones are or were here.

    """

    world: World
    round_number: int
    moment: int
    user_ids: np.ndarray
    tastes: np.ndarray
    fatigue: np.ndarray
    shown: np.ndarray
    clicked: np.ndarray
    item_clicks: np.ndarray
    next_user_id: int

    @classmethod
    def at_start(cls, world: World) -> State:
        """Everybody new, nothing shown."""
        config, users = world.config, np.arange(world.config.users)
        return cls(
            world,
            round_number=0,
            moment=0,
            user_ids=users,
            tastes=world.first_tastes(users),
            fatigue=np.zeros((config.users, config.genres)),
            shown=np.zeros((config.users, config.items), np.int64),
            clicked=np.zeros((config.users, config.items), bool),
            item_clicks=np.zeros(config.items, np.int64),
            next_user_id=config.users,
        )

    def copy(self) -> State:
        """A state that can go another way from here."""
        fields = {name: value.copy() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        other = copy.copy(self)
        vars(other).update(fields)
        return other

    def fresh(self) -> State:
        """The same users and tastes, but rested: nothing shown, nothing clicked, no item more popular than another."""
        other = self.copy()
        for array in (other.fatigue, other.shown, other.clicked, other.item_clicks):
            array[...] = 0
        return other

    def requests(self) -> Requests:
        """Who comes at this moment, and in which context."""
        world = self.world
        comes = uniforms(world.seed, Stream.VISIT, self.moment, self.user_ids) < world.activity(self.user_ids)
        slots = np.flatnonzero(comes)
        users = self.user_ids[slots]
        contexts = uniforms(world.seed, Stream.CONTEXT, self.moment, users) * len(world.config.contexts)
        return Requests(self.moment, slots, users, contexts.astype(np.int64))

    def everybody(self) -> tuple[Requests, np.ndarray]:
        """Each user in each context, and how probable that request is among all. Requests, float64 [requests]"""
        number = len(self.world.config.contexts)
        slots = np.repeat(np.arange(len(self.user_ids)), number)
        users = self.user_ids[slots]
        weight = self.world.activity(users)
        contexts = np.tile(np.arange(number), len(self.user_ids))
        return Requests(self.moment, slots, users, contexts), weight / weight.sum()

    def candidates(self, slots: np.ndarray) -> np.ndarray:
        """What may be shown: items that are there and, without repeats, not yet clicked. bool [requests, items]

        Who has clicked nearly all may be shown all again.
        """
        is_there = np.broadcast_to(self.world.arrival_round <= self.round_number, (len(slots), len(self.item_clicks)))
        if self.world.config.repeats:
            return is_there
        allowed = is_there & ~self.clicked[slots]
        exhausted = allowed.sum(axis=1) < self.world.config.slate
        return np.where(exhausted[:, None], is_there, allowed)

    def after(self, requests: Requests, items: np.ndarray, clicks: np.ndarray) -> None:
        """Go on to the next moment: `items` were shown, `clicks` of them clicked. int64, bool [requests, slate]"""
        config, slots = self.world.config, requests.slots[:, None]
        genres = (self.world.item_genres[items] * clicks[..., None]).sum(axis=1)
        self.fatigue *= config.fatigue_memory
        self.fatigue[requests.slots] += genres  # a slot stands once in a moment
        self.tastes[requests.slots] += config.taste_influence * genres
        self.shown[slots, items] += 1
        self.clicked[slots, items] |= clicks
        self.item_clicks += np.bincount(items[clicks], minlength=config.items)
        self.moment += 1

    def next_round(self) -> None:
        """Tastes drift, some users are replaced by new ones, and items arrive."""
        leaves = np.flatnonzero(self.world.leaves(np.arange(len(self.user_ids)), self.round_number))
        self.round_number += 1
        self.tastes = self.world.drifted(self.tastes, self.user_ids, self.round_number)
        new = self.next_user_id + np.arange(len(leaves))
        self.user_ids[leaves] = new
        self.tastes[leaves] = self.world.first_tastes(new)
        self.fatigue[leaves], self.shown[leaves], self.clicked[leaves] = 0, 0, False
        self.next_user_id += len(leaves)
