"""Pairs of fields whose interaction moves the logit most, of models with a term for pairs: FM, DeepFM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.models.towers.fields import FieldRanking

ROWS = 2_048  # of the test split: a mean needs no more
SHOWN = 12

Interactions = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Pair:
    """Two fields.

    Attributes:
        fields: their names.
        strength: mean over rows of the absolute interaction, in units of the logit.
        spread: its standard deviation over rows; 0 where it is the same for all of them.

    """

    fields: tuple[str, str]
    strength: float
    spread: float


def learnt_pairs(model: FieldRanking, features: Tensors) -> list[Pair]:
    """All pairs of fields, the strongest first; nothing for a model without a term for pairs.

    Args:
        model: trained.
        features: encoded rows of the test split.

    """
    interactions = getattr(model, "interactions", None)
    if interactions is None:
        return []
    vectors = model.embed(features).vectors
    if len(model.fields) < 2 or interactions(vectors[:1]) is None:
        return []
    return pair_strengths(interactions, vectors, model.fields)


def pair_strengths(interactions: Interactions, vectors: tf.Tensor, fields: Sequence[str]) -> list[Pair]:
    r"""How strongly each two fields interact.

    .. math:: s_{fg} = \frac{1}{n} \sum_i |I(v_f, v_g) - I(v_f) - I(v_g) + I()|

    I of some fields has the vectors of all others at 0. Of a factorisation machine this is mean |⟨v_f, v_g⟩|.

    Args:
        interactions: vectors [batch, fields, dim] → [batch].
        vectors: of the rows. float [batch, fields, dim]
        fields: names, in the order of the vectors.

    """

    @tf.function(autograph=False)
    def of(kept: tf.Tensor) -> tf.Tensor:
        return interactions(vectors * kept[None, :, None])

    def alone(*places: int) -> np.ndarray:
        kept = np.zeros(len(fields), np.float32)
        kept[list(places)] = 1
        found: np.ndarray = of(tf.constant(kept)).numpy().astype(np.float64)
        return found

    none, single = alone(), [alone(place) for place in range(len(fields))]
    pairs = []
    for one, other in combinations(range(len(fields)), 2):
        both = alone(one, other) - single[one] - single[other] + none
        pairs.append(Pair((fields[one], fields[other]), float(np.abs(both).mean()), float(both.std())))
    return sorted(pairs, key=lambda pair: -pair.strength)
