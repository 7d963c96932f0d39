"""What a search may look at: ranges as they are written, and whether they fit the model's config."""

from operator import attrgetter

import optuna
import pytest
import yaml

from tests.trainer.plain_models import REGISTERED
from tfrec.errors import ConfigError
from tfrec.models import registry
from tfrec.models.registry import model_class, model_names
from trainer.search.plan import SearchPlan
from trainer.search.space import dimension, read_space


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("uniform(0, 0.5)", [0, 0.25, 0.5], [-0.1, 0.6, "a", None]),
        ("log(1e-4, 1e-1)", [0.0001, 0.01, 0.1], [0, 1]),
        ("int(8, 64, 8)", [8, 16, 64], [9, 72]),
        (" int( 1 , 3 ) ", [1, 2, 3], [0]),
        ("logint(8, 256)", [8, 100, 256], [7]),
        ("[a, b, null]", ["a", "b", None], ["c"]),
        ("[0.003, 1e30, 1E-3]", [0.003, 1e30, 0.001], ["1e30"]),
        ("choice(true, false)", [True, False], ["x"]),
        ("[[64, 32], [128]]", [[64, 32], (128,)], [[64]]),
    ],
)
def test_a_range_holds_what_it_says(text, inside, outside):
    found = dimension("model.x", text)
    for value in inside:
        parameter = found.parameter(value)
        expected = list(value) if isinstance(value, tuple) else value
        assert found.value(parameter) == expected
        key, _, written = found.override(parameter).partition("=")
        assert (key, yaml.safe_load(written)) == ("model.x", expected)
    if None not in inside:
        assert [found.parameter(value) for value in outside] == [None] * len(outside)
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(sampler=sampler)
    drawn = [study.ask({"x": found.distribution}).params["x"] for _ in range(50)]
    assert all(found.parameter(found.value(parameter)) == parameter for parameter in drawn)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "k=normal(0, 1)",
            "--space k=normal(0, 1): unknown range 'normal'; did you mean 'uniform'?",
        ),
        ("k=logit(1, 2)", "--space k=logit(1, 2): unknown range 'logit'; did you mean 'logint'?"),
        ("k=log(0, 1)", "--space k=log(0, 1): 0 has no logarithm; begin above 0, or choose uniform or int"),
        ("k=int(3, 1)", "--space k=int(3, 1): 3 is not below 1; the lowest value comes first"),
        (
            "k=int(8, 60, 8)",
            "--space k=int(8, 60, 8): 60 is no whole number of steps of 8 above 8; choose such an end",
        ),
        ("k=log(1)", "--space k=log(1): needs two numbers, lowest and highest; a range is "),
        ("k=uniform(0, inf)", "--space k=uniform(0, inf): needs two numbers, lowest and highest; a range is "),
        ("k=int(1, 2.5)", "--space k=int(1, 2.5): needs whole numbers; a range is "),
        ("k=[1]", "--space k=[1]: needs at least two different values; a range is "),
        ("k=0.5", "--space k=0.5: not a range; one is "),
        ("k=[1", "--space k=[1: not a range; one is "),
        ("/nowhere.yaml", "--space /nowhere.yaml: cannot be read (No such file or directory); name a YAML file, or "),
    ],
)
def test_what_is_no_range_is_refused(given, message):
    forms = "uniform(0, 0.5), log(1e-4, 1e-1), int(8, 64, 8), logint(8, 256) or [a, b, c]"
    with pytest.raises(ConfigError) as caught:
        read_space([given])
    assert str(caught.value).startswith(message)
    assert str(caught.value).removeprefix(message) in ("", forms, f"write KEY={forms}")


def test_a_space_may_stand_in_a_file(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("train.learning_rate: log(1e-4, 1e-1)\nmodel.hidden_units: [[64, 32], [128]]\n")
    found = read_space([str(path), "model.dropout=uniform(0, 0.5)"])
    assert list(found) == ["train.learning_rate", "model.hidden_units", "model.dropout"]
    assert found["model.hidden_units"].override("[128]") == "model.hidden_units=[128]"
    with pytest.raises(ConfigError, match=r"^--space: model\.hidden_units stands twice; keep one range$"):
        read_space([str(path), "model.hidden_units=[[1], [2]]"])
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match=r"space\.yaml: a mapping of config keys to ranges is needed"):
        read_space([str(path)])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("train.learning_rat=log(1e-4, 1)", "unknown key 'learning_rat' in 'train'; did you mean 'learning_rate'?"),
        ("model.embeding_dim=[8, 16]", "unknown key 'embeding_dim' in 'model'; did you mean 'embedding_dim'?"),
        (
            "train.learning_rate=uniform(0, 1)",
            "train.learning_rate: got 0.0; input should be greater than 0",
        ),
        (
            "model.embedding_dim=uniform(8, 33)",
            "model.embedding_dim: got 20.5; input should be a valid integer, got a number with a fractional part",
        ),
        (
            "train.optimizer=[adam, adamax]",
            "train.optimizer: got 'adamax'; input should be 'adam', 'dense_adam', 'adagrad', 'ftrl' or 'sgd'",
        ),
        ("train.batch_size=[1, 2]", "a flag or --set gives it a value; keep one of them"),
        ("train.monitor=[a, b]", "trials are compared by one metric; choose it with --set train.monitor=…"),
    ],
)
def test_a_space_that_does_not_fit_the_config_is_refused_before_the_first_trial(world, tmp_path, space, message):
    given = ("train.batch_size=4096",)
    with pytest.raises(ConfigError) as caught:
        SearchPlan(str(world.dataset()), "two_tower", tmp_path / "study", (space,), None, given).check()
    assert str(caught.value) == f"--space {space}: {message}"
    assert not (tmp_path / "study").exists()


def test_a_model_with_nothing_to_choose_is_not_searched(world, tmp_path, monkeypatch):
    monkeypatch.setitem(registry._MODELS, "item_means", REGISTERED["item_means"])
    with pytest.raises(ConfigError, match=r"^item_means brings no search space of its own; name keys with --space"):
        SearchPlan(str(world.dataset()), "item_means", tmp_path).check()


@pytest.mark.parametrize("model", [name for name in model_names() if model_class(name).search_space])
def test_the_space_that_a_model_brings_fits_it(world, tmp_path, model):
    plan = SearchPlan(str(world.dataset()), model, tmp_path)
    plan.check()
    off = {key for key in plan.space if key.startswith("model.") and attrgetter(key)(plan.base) is None}
    assert set(plan.defaults()) == set(plan.space) - off, "the model's own defaults lie in its space"
