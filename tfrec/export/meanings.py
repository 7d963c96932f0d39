"""What the inputs and outputs of signatures mean, in the words of the model card."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tfrec.schema import EVENT_TIME_MS

_INPUTS = {
    "k": "items wanted for each row",
    "exclude_ids": "items that are not listed; the first column is empty",
    "exclude_seen": "whether to leave out what the user took, and a history that the request gives",
    "allow_ids": "the only items that may be listed, all where there are none; the first column is empty",
    "candidate_ids": "items to order or to explain; empty ones are padding",
    "item_ids": "items to show",
    "examples": "serialized tf.train.Example with raw features",
    EVENT_TIME_MS: "time of the request, milliseconds since 1970 in UTC; 0: now",
}
_FILTER = re.compile(r"filter_(?P<feature>\w+?)(?P<bound>_at_most|_at_least)?")
_BOUNDS = {
    None: "only items with one of these values of {}",
    "_at_most": "only items whose {} is not above",
    "_at_least": "only items whose {} is not below",
}
_OUTPUTS = {
    "ids": 'items, best first; "" where a row has no more',
    "scores": "of the items or rows; -inf where there is none",
    "embeddings": "vectors of the tower",
    "is_known": "whether the model has the item",
    "reasons": "why, the weightiest first: item:ID, feature=value or popularity",
    "weights": "of the reasons, on a scale of the model's own",
    "sources": "names of what finds candidates",
    "source_ranks": "place of the item in the list of each source, from 1; 0 where it is not in it",
    "source_scores": "of each source; -inf where the item is not in its list",
    "fused_scores": "of the lists together",
    "ranking_places": "place by the ranking model alone, from 1",
    "is_explored": "whether the place was given away to learn from it",
    "propensities": "probability of the item at its place, given the candidates and the items above; 0 where none is",
    "num_candidates": "items of which each place got one of those left",
}


def of_inputs(names: Iterable[str]) -> dict[str, str]:
    """Name → meaning; what is no control of the signature is a raw feature."""
    return {name: _INPUTS.get(name) or _of_filter(name) or "raw feature, as the log has it" for name in names}


def of_outputs(names: Iterable[str]) -> dict[str, str]:
    """Name → meaning; other outputs are what items show, or predictions of further labels."""
    return {name: _OUTPUTS.get(name, f"{name} of the item or row") for name in names}


def _of_filter(name: str) -> str | None:
    match = _FILTER.fullmatch(name)
    return None if match is None else _BOUNDS[match["bound"]].format(match["feature"])
