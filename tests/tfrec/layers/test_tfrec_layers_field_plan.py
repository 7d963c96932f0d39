"""What fields read, and which rows of their tables belong to which feature."""

import numpy as np
import pytest

from tests.tfrec.layers.field_world import COMPOSED, NUM_IDS, SCHEMA, embedding_of
from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from tfrec.layers import FieldPlan, choose_features, with_weights
from tfrec.schema import Schema


@pytest.fixture(scope="module")
def schema():
    return parse_config(SCHEMA, Schema)


def test_what_is_read_are_the_fields_the_weights_of_their_values_and_the_parts_of_crosses(schema):
    plan = FieldPlan(schema, NUM_IDS, ["item_id", "picture"], wide_crosses=("age_x_tags",))
    assert plan.required_features == {"item_id", "picture", "age", "tags", "tag_weights"}
    assert FieldPlan(schema, NUM_IDS, ["user_id", "topics"]).required_features == {"user_id", "topics"}
    assert with_weights(schema, ["topics", "tags"]) == ("topics", "tags", "tag_weights")


def test_rows_of_crosses_belong_to_no_feature(schema):
    """Another vocabulary gives their parts other ids: a later model cannot take the rows over."""
    layer = embedding_of(schema, ["user_id", "tags", "picture"], crosses=("user_x_age",), wide_crosses=("age_x_tags",))
    assert {table.feature for table in layer.id_tables()} == {"user_id", "tags", "picture"}
    rows = np.zeros(layer._first_order["embedding"].shape[0])
    for table in layer.id_tables():
        if table.variable is layer._first_order["embedding"]:
            rows[table.first_row : table.first_row + table.rows] += 1
    # The 20 users, the 12 tags; 41 rows of the first cross stand between them, 31 of the second behind.
    assert rows.tolist() == [1] * 20 + [0] * 41 + [1] * 12 + [0] * 31


@pytest.mark.parametrize(
    ("features", "tables", "crosses"),
    [
        (["score", "picture"], None, {"wide_crosses": ("user_x_age", "age_x_tags")}),
        (["score"], None, {"crosses": ("user_x_age",)}),
        (["user_id"], {"user_x_age": COMPOSED}, {"crosses": ("user_x_age",)}),
    ],
)
def test_a_table_of_crosses_alone_is_named_with_no_rows(schema, features, tables, crosses):
    """A variable that is not named at all would be taken over whole."""
    layer = embedding_of(schema, features, tables, **crosses)
    rows = {id(variable): 0 for variable in layer.trainable_variables}
    found = layer.id_tables()
    for table in found:
        rows[id(table.variable)] += table.rows
    assert {id(table.variable) for table in found} == set(rows)
    named = {variable.name.split(":")[0]: rows[id(variable)] for variable in layer.trainable_variables}
    expected = {"score": {"numbers": 1}, "picture": {"vector_picture": 4}, "user_id": {"embedding": 20}}
    owned = {table: count for name in features for table, count in expected[name].items()}
    for name, count in named.items():
        assert count == owned.get(name.removesuffix("_first_order"), 0), name


def test_weights_are_no_field_of_their_own(schema):
    roles = ("item",)
    assert "tag_weights" not in choose_features(schema, None, roles=roles, key="k")
    with pytest.raises(ConfigError) as caught:
        choose_features(schema, ["tag_weights"], roles=roles, key="model.features")
    message = "model.features: 'tag_weights' holds the weights of 'tags' and counts wherever that is read; name 'tags'"
    assert str(caught.value).startswith(message)
