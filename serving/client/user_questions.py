"""Questions about users: one signature of one model, with what is given and stored of each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from serving.client.questions import AskUsers, Models, Steps
from serving.client.results import Prediction, ScoredBatch, ScoredItems
from serving.client.signature import Array, Signature, text_of
from serving.client.signature_inputs import SignatureInputs, Stored

RECOMMEND, RANK, EXPLAIN, STAGES = "recommend", "rank", "explain", "stages"
_OF_LISTS = frozenset({"k", "exclude_ids", "allow_ids", "exclude_seen"})
_CONTROLS = {
    RECOMMEND: _OF_LISTS,
    STAGES: _OF_LISTS,
    RANK: frozenset({"candidate_ids"}),
    EXPLAIN: frozenset({"candidate_ids"}),
}
_PROPENSITIES, _NUM_CANDIDATES = "propensities", "num_candidates"  # of what explores and can say it

Controls = Mapping[str, Array | None]


class UserQuestions:
    """The questions as steps; with `has_users` what a store says of the users comes along."""

    def __init__(self, models: Models, *, has_users: bool) -> None:
        self._models = models
        self._has_users = has_users

    def stored(self, users: Sequence[str], given: Mapping[str, Any]) -> Steps[Stored]:
        """What the store says of the users, nothing without a store; `given` is what the caller says."""
        if not self._has_users:
            return ()
        return (yield AskUsers(tuple(users), frozenset(given)))

    def features_of(self, model: str | None, signature: str) -> Steps[frozenset[str]]:
        """The features that a signature has inputs for; none of no model."""
        found = None if model is None else (yield from self._models.metadata(model)).signatures.get(signature)
        if model is None or found is None:
            return frozenset()
        return SignatureInputs(f"{signature} of model {model!r}", found, _CONTROLS[signature]).features

    def score(
        self,
        model: str,
        signature: str,
        users: Sequence[str],
        controls: Controls,
        features: Mapping[str, Any],
        stored: Stored,
        *,
        is_single: bool,
    ) -> Steps[ScoredBatch]:
        """The list of each user."""
        answer = yield from self.ask(model, signature, users, controls, features, stored, is_single=is_single)
        return ScoredBatch(tuple(_scored_items(user, i, model, answer) for i, user in enumerate(users)))

    def ask(
        self,
        model: str,
        signature: str,
        ids: Sequence[str],
        controls: Controls,
        features: Mapping[str, Any],
        stored: Stored,
        *,
        is_single: bool,
    ) -> Steps[Prediction]:
        """The outputs, one row for each id."""

        def make(found: Signature) -> dict[str, Array]:
            owner = f"{signature} of model {model!r}"
            inputs = SignatureInputs(owner, found, _CONTROLS.get(signature, frozenset()))
            return inputs.make(ids, controls, features, stored=stored, is_single=is_single)

        return (yield from self._models.predict(model, signature, make))


def _scored_items(user: str, row: int, model: str, answer: Prediction) -> ScoredItems:
    """One row of an answer, without padding."""
    of_row = {name: values[row] for name, values in answer.outputs.items()}
    scores = of_row["scores"].tolist()
    kept = [i for i, one in enumerate(of_row["ids"]) if len(one) and scores[i] != -math.inf]
    says_chances = _PROPENSITIES in of_row and _NUM_CANDIDATES in of_row
    return ScoredItems(
        user,
        tuple(text_of(of_row["ids"][i]) for i in kept),
        tuple(scores[i] for i in kept),
        model,
        answer.version,
        propensities=tuple(float(of_row[_PROPENSITIES][i]) for i in kept) if says_chances else None,
        num_candidates=int(of_row[_NUM_CANDIDATES]) if says_chances else None,
    )
