"""The contract on DeepFM, with three ways to its fields; what config and optimiser make of the wide part's rule."""

import pytest

from tests.tfrec.models.field_contract import DeepFieldContract, slow_pairs
from tests.trainer.planted_world import DEEPFM, DEEPFM_WITH_HISTORY
from tfrec.optimizers import Adagrad, Adam, Ftrl
from trainer.model import build_model
from trainer.training.optimizer import make_optimizer

DEEPFM_WITH_SHARED_ROWS = (
    *DEEPFM,
    "model.tables.user_id={kind: hashed, rows: 150}",
    "model.tables.item_id={kind: quotient_remainder}",
    "model.tables.genres={kind: quotient_remainder}",
)


class DeepFMContract(DeepFieldContract):
    model = "deepfm"

    def pairs(self, vectors):
        return slow_pairs(vectors)


class TestDeepFM(DeepFMContract):
    overrides = DEEPFM


class TestDeepFMWithHistoryAndPlainNumbers(DeepFMContract):
    overrides = DEEPFM_WITH_HISTORY


class TestDeepFMWithSharedRows(DeepFMContract):
    """Hashed users, composed items and genres."""

    overrides = DEEPFM_WITH_SHARED_ROWS


# --- Which rule the weights follow ---


@pytest.mark.parametrize(
    ("model", "settings", "wide", "others"),
    [
        ("wide_deep", (), Ftrl(l1=0.0005), Adam()),
        ("wide_deep", ("train.optimizer=adagrad", "train.wide_optimizer=null"), Adagrad(), Adagrad()),
        ("wide", (), Ftrl(l1=0.0005), Adam()),
        ("fm", (), Adam(), Adam()),
        ("fm", ("train.wide_optimizer.l1=0.25",), Ftrl(l1=0.25), Adam()),
    ],
)
def test_the_wide_part_is_the_first_order_weights_and_follows_a_rule_of_its_own(world, model, settings, wide, others):
    config, data = world.config(model, *settings), world.data()
    built = build_model(config, data)
    first_order = {variable.name for variable in built.trainable_variables if "first_order" in variable.name}
    assert {variable.name for variable in built.wide_variables()} == first_order
    assert len(first_order) == 2  # of ids and of numbers
    optimizer = make_optimizer(config.train, built, 100)
    for variable in built.trainable_variables:
        expected = wide if variable.name in first_order else others
        assert optimizer._group_of(variable).rule == expected, variable.name


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("train.wide_optimizer.l1=0.25", ("ftrl", 1.0, 0.25)),
        ("train.wide_optimizer={name: ftrl, learning_rate: 0.5}", ("ftrl", 0.5, 0.0005)),
        ("train.wide_optimizer={name: adagrad}", ("adagrad", 0.05, 0.0)),
        ("train.epochs=3", ("ftrl", 1.0, 0.0005)),
    ],
)
def test_what_is_not_said_of_the_wide_rule_stays_as_the_model_has_it(world, setting, expected):
    rule = world.config("wide", setting).train.wide_optimizer
    assert (rule.name, rule.learning_rate, rule.l1) == expected
