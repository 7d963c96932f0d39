"""Rankers over fields on a log with every kind of feature: the contract of each."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.models.field_contract import (
    FIELD_NON_DEFAULT,
    NON_DEFAULT,
    VECTOR_NON_DEFAULT,
    DeepFieldContract,
    FieldRankingContract,
    network,
    slow_pairs,
)
from tests.tfrec.models.rich_world import RichLog
from tfrec.layers.crosses import cross_ids
from trainer.model import build_model

SMALL = ("model.embedding_dim=8", "train.learning_rate=0.01")
# An MLP has to find by itself which genres of the past go with the candidate's.
HELD_BACK = ("model.dropout=0.3", "model.input_dropout=0.1")
CROSSES = {"age_x_genres", "country_x_age", "past_x_item", "past_x_genre"}


class RichContract:
    @pytest.fixture(scope="class")
    def world(self, rich_world):
        return rich_world

    @pytest.fixture(scope="class")
    def log(self, world):
        return RichLog(world.logs)


class TestWide(RichContract, FieldRankingContract):
    """Ids, words, numbers, a vector, a bag with weights, and what the past has to do with the candidate as crosses."""

    model = "wide"
    non_default = FIELD_NON_DEFAULT

    def slow_logit(self, model, vectors, weights, row):
        assert set(model.embedding.plan.terms) - set(model.fields) == CROSSES
        return weights.sum()

    def test_the_same_seed_gives_the_same_weights(self, world):
        """All begin at 0: a seed decides only about the order of the events."""
        model = build_model(world.config(self.model), world.data())
        assert len(model.state) == 4
        assert not any(variable.numpy().any() for variable in model.state)

    def test_l1_makes_some_weights_of_what_occurred_exactly_zero(self, trained):
        model, data, config = trained
        assert config.train.wide_optimizer.l1 > 0
        parts = [tf.constant(data.train[name]) for name in ("history", "item_id")]
        ids = cross_ids(parts, data.schema.crosses["past_x_item"].hash_buckets).numpy()
        seen = np.unique(ids[ids != 0])
        weights = model.embedding.first_order[0].numpy()[model.embedding.plan.first_row["past_x_item"] + seen, 0]
        print(f"{len(seen)} seen, {(weights == 0).mean():.2f} of them 0")
        assert 0.05 < (weights == 0).mean() < 0.95


class TestWideDeep(RichContract, DeepFieldContract):
    """Crosses in the wide part, the mean of the past in the deep part."""

    model = "wide_deep"
    overrides = (
        *SMALL,
        *HELD_BACK,
        "model.kernel_l2=0.003",
        "model.history=mean",
        "train.wide_optimizer.learning_rate=1",
    )

    def slow_logit(self, model, vectors, weights, row):
        assert set(model.embedding.plan.terms) - set(model.fields) == CROSSES
        return super().slow_logit(model, vectors, weights, row)


class TestDeep(RichContract, DeepFieldContract):
    """Attention over two sequences side by side, crosses as fields."""

    model = "deep"
    overrides = (*SMALL, *HELD_BACK, "model.history=attention")

    def slow_logit(self, model, vectors, weights, row):
        assert model.fields[-2:] == ("history", "past_genres")
        assert set(model.fields) > CROSSES
        return self.deep(model, vectors.reshape(-1))


class TestFM(RichContract, FieldRankingContract):
    """Crosses with first-order weights, and a past with attention."""

    model = "fm"
    non_default = VECTOR_NON_DEFAULT
    overrides = (*SMALL, "model.history=attention")

    def slow_logit(self, model, vectors, weights, row):
        assert model.fields[-2:] == ("history", "past_genres")
        assert set(model.embedding.plan.terms) - set(model.fields) == CROSSES
        return weights.sum() + slow_pairs(vectors)


class TestDCN(RichContract, DeepFieldContract):
    """Full matrices beside the MLP."""

    model = "dcn"
    non_default = {**NON_DEFAULT, "cross_layers": 3, "cross_rank": 4, "structure": "stacked"}
    overrides = (*SMALL, *HELD_BACK, "model.history=mean")

    def matrices(self, model):
        return [*super().matrices(model), *model._crosses.kernels]

    def slow_logit(self, model, vectors, weights, row):
        x0 = x = vectors.reshape(-1)
        for kernel, bias in zip(model._crosses.kernels, model._crosses.biases, strict=True):
            x = x0 * (x @ kernel.numpy() + bias.numpy()) + x
        return network(model._crossed.kernels, model._crossed.biases, x)[0] + self.deep(model, x0)


class TestDLRM(RichContract, DeepFieldContract):
    """A number and a vector through the bottom network."""

    model = "dlrm"
    non_default = {**NON_DEFAULT, "bottom_units": [9], "dropout": 0.1}
    overrides = (*SMALL, "model.history=mean")

    def matrices(self, model):
        return [*super().matrices(model), *model._bottom.kernels]

    def slow_logit(self, model, vectors, weights, row):
        assert {"age_in_years", "picture"} <= model.required_features - set(model.fields)
        numbers = np.concatenate([np.atleast_1d(row[name]) for name in ("age_in_years", "picture")])
        first = np.maximum(network(model._bottom.kernels, model._bottom.biases, numbers), 0)
        together = [first, *vectors]
        products = [together[i] @ together[j] for i in range(len(together)) for j in range(i)]
        return self.deep(model, np.concatenate([first, products]))
