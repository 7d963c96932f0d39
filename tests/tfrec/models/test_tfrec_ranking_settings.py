"""Further settings of rankers over fields, untrained: equations, warm start, memory, streams, replicas, refusals."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.models.field_contract import network, slow_pairs
from tfrec.errors import ConfigError
from trainer.checks.memory import memory_need
from trainer.cluster.placement import Placement
from trainer.model import build_model
from trainer.training.source import open_source

MODELS = ("wide", "deep", "wide_deep", "fm", "deepfm", "dcn", "dlrm")
CROSSES = {"age_x_genres", "country_x_age", "past_x_item", "past_x_genre"}


def with_logits(rich_world, name, *overrides):
    """(model with random weights, vectors, weights, logits) of eight rows."""
    data = rich_world.data()
    model = build_model(rich_world.config(name, *overrides), data)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.4, variable.shape))
    rows = {name: tf.constant(data.train[name][:8]) for name in model.required_features}
    vectors, weights = (part.numpy() for part in model.embed(rows))
    return model, vectors, weights, model.logits(rows).numpy()


def test_stacked_crosses_of_low_rank_go_through_the_network(rich_world):
    model, vectors, weights, found = with_logits(
        rich_world, "dcn", "model.structure=stacked", "model.cross_rank=3", "model.embedding_dim=4"
    )
    assert "past_x_item" in model.fields
    kernels = [kernel.numpy() for kernel in model._crosses.kernels]
    for row in range(8):
        x0 = x = vectors[row].reshape(-1)
        for layer, bias in enumerate(model._crosses.biases):
            x = x0 * (x @ kernels[2 * layer] @ kernels[2 * layer + 1] + bias.numpy()) + x
        expected = float(model._bias) + network(model._mlp.kernels, model._mlp.biases, x)[0]
        np.testing.assert_allclose(found[row], expected, rtol=1e-3, atol=1e-4)
    assert not weights.any()


@pytest.mark.parametrize(("history", "crosses"), [("mean", "wide"), ("attention", "both"), ("attention", "none")])
def test_deepfm_sees_the_history_and_crosses_as_it_is_told(rich_world, history, crosses):
    model, vectors, weights, found = with_logits(
        rich_world, "deepfm", f"model.history={history}", f"model.crosses={crosses}", "model.embedding_dim=4"
    )
    assert model.fields[-2:] == ("history", "past_genres")
    assert CROSSES & set(model.fields) == (CROSSES if crosses == "both" else set())
    assert CROSSES & set(model.embedding.plan.terms) == (set() if crosses == "none" else CROSSES)
    assert weights.shape[1] == len(model.embedding.plan.terms)
    for row in range(8):
        deep = network(model._mlp.kernels, model._mlp.biases, vectors[row].reshape(-1))[0]
        expected = float(model._bias) + weights[row].sum() + slow_pairs(vectors[row]) + deep
        np.testing.assert_allclose(found[row], expected, rtol=1e-3, atol=1e-4)


def test_dlrm_without_numbers_multiplies_ids_alone(rich_world):
    model, vectors, _, found = with_logits(rich_world, "dlrm", "model.features=[item_id, user_id, past_x_item, genres]")
    assert model.fields == ("item_id", "user_id", "genres", "past_x_item")
    for row in range(8):
        products = [vectors[row, i] @ vectors[row, j] for i in range(4) for j in range(i)]
        expected = float(model._bias) + network(model._mlp.kernels, model._mlp.biases, np.array(products))[0]
        np.testing.assert_allclose(found[row], expected, rtol=1e-3, atol=1e-4)


# --- Warm start, memory, replicas, XLA ---


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        *((model, ()) for model in MODELS),
        ("dcn", ("model.cross_rank=3",)),
        ("dlrm", ("model.features=[user_id, item_id, genres]",)),
        ("dlrm", ("model.features=[user_id, age_in_years, picture]",)),
    ],
)
def test_without_crosses_a_later_model_takes_over_every_row_of_what_belongs_to_features(rich_world, model, settings):
    built = build_model(rich_world.config(model, "model.crosses=none", *settings), rich_world.data())
    taken = {}
    for table in built.id_tables():
        rows = taken.setdefault(id(table.variable), np.zeros(table.variable.shape[0], int))
        rows[table.first_row : table.first_row + table.rows] += 1
    assert taken
    assert all((rows == 1).all() for rows in taken.values())


def test_of_low_rank_crosses_the_first_matrices_have_rows_of_features_whatever_the_rank(rich_world):
    settings = ("model.features=[user_id, item_id]", "model.embedding_dim=4", "model.cross_rank=8")
    model = build_model(rich_world.config("dcn", *settings), rich_world.data())
    assert [tuple(kernel.shape) for kernel in model._crosses.kernels] == [(8, 8)] * 4
    owned = {id(table.variable) for table in model.id_tables()}
    assert [id(kernel) in owned for kernel in model._crosses.kernels] == [True, False] * 2


def test_the_memory_check_counts_pasts_crosses_and_networks(rich_world):
    dataset = rich_world.data().dataset

    def numbers(model, *settings):
        config = rich_world.config(model, "train.batch_size=64", *settings)
        return memory_need(config, dataset).activation_bytes / (4 * 3 * 64)

    words = 16
    single = len(["user_id", "age", "age_in_years", "country", "country_hash", "item_id", "picture", "main_genre"])
    of_features, of_crosses = single + words + 4, 4 + 1 + 20 + 20  # genres: 4; past_x_…: 20 events
    plain = ("model.embedding_dim=8", "model.crosses=none")
    assert numbers("wide", "model.crosses=none") == of_features
    assert numbers("wide") == of_features + of_crosses
    assert numbers("fm", *plain) == 8 * of_features
    assert numbers("fm", *plain, "model.history=mean") == 8 * (of_features + 40)
    units = ("model.history=attention", "model.attention_units=[5, 3]")
    assert numbers("fm", *plain, *units) == 8 * (of_features + 40) + 20 * (5 + 3)
    assert numbers("deep", *plain, "model.hidden_units=[7, 6]") == 8 * of_features + 7 + 6
    deep = ("model.hidden_units=[7, 6]", "model.features=[user_id, item_id, age_in_years]")
    assert numbers("dcn", *plain, *deep, "model.cross_layers=3") == 8 * of_features + 13 + 2 * 3 * 3 * 8
    assert numbers("dlrm", *plain, *deep, "model.bottom_units=[9]") == 8 * of_features + 13 + 9 + 3 * 3


def test_a_stream_serves_every_kind_of_column_as_memory_does(rich_world):
    data = rich_world.data()
    config = rich_world.config("fm", "model.history=mean", "train.input=stream", "train.batch_size=8000")
    columns = {*build_model(config, data).train_columns(), "user_index", "event_position"}
    assert columns > {"title", "picture", "genre_weights", "past_genres", "age", "age_in_years", "country_hash"}
    (batch,) = open_source(data, columns, config, Placement("one")).epoch(0).as_numpy_iterator()
    assert set(batch) == columns
    given, held = (np.lexsort((rows["event_position"], rows["user_index"])) for rows in (batch, data.train))
    for name, values in batch.items():
        assert np.array_equal(values[given], data.train[name][held]), name


@pytest.mark.usefixtures("loaded_processes")
def test_replicas_and_xla_give_the_loss_and_gradients_of_one_device(rich_world):
    script = Path(__file__).parent / "field_replicas_process.py"
    done = subprocess.run(
        [sys.executable, str(script), str(rich_world.dataset())], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["same:", "replicas", "same:", "xla"]


def test_a_shorter_type_multiplies_the_hidden_matrices_of_both_networks_in_training_alone(rich_world):
    data = rich_world.data()
    model = build_model(rich_world.config("dlrm", "model.embedding_dim=4"), data)
    rows = {name: tf.constant(data.train[name][:4]) for name in model.required_features}
    model.compute_type = tf.bfloat16

    def short_products(training):
        traced = tf.function(lambda: model.logits(rows, training=training), autograph=False).get_concrete_function()
        products = [op for op in traced.graph.get_operations() if op.type == "MatMul"]
        return [op.outputs[0].shape[1] for op in products if op.outputs[0].dtype == tf.bfloat16]

    assert sorted(short_products(training=True)) == sorted([64, 64, 32])  # bottom_units, hidden_units
    assert short_products(training=False) == []


# --- Refusals ---


@pytest.mark.parametrize(
    ("model", "setting", "message"),
    [
        ("fm", "model.features=[item_id, nobody]", "model.features: no encoded feature or cross 'nobody'"),
        ("fm", "model.features=[item_id, age, item_id]", "model.features: names 'item_id' twice; keep one"),
        (
            "fm",
            "model.features=[past_x_item]",
            "model.features: past_x_item are crosses with first-order weights alone",
        ),
        ("dlrm", "model.features=[age_in_years, picture]", "model.features: age_in_years, picture have no ids"),
        ("dlrm", "model.features=[item_id]", "model.features: 'item_id' is alone, and dlrm multiplies pairs"),
        ("deep", "model.features=[item_id, genre_weights]", "model.features: 'genre_weights' holds the weights of"),
    ],
)
def test_features_that_a_model_cannot_read_are_named(rich_world, model, setting, message):
    with pytest.raises(ConfigError) as caught:
        build_model(rich_world.config(model, setting), rich_world.data())
    assert str(caught.value).startswith(message)


def test_a_cross_is_not_named_where_crosses_are_left_out(rich_world):
    settings = ("model.features=[item_id, past_x_item]", "model.crosses=none")
    with pytest.raises(ConfigError) as caught:
        build_model(rich_world.config("fm", *settings), rich_world.data())
    assert str(caught.value).startswith(
        "model.features: 'past_x_item' is a cross, and model.crosses=none leaves crosses"
    )
