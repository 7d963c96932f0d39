"""A schema with fields of every kind, and layers on it whose rows can be told apart."""

import numpy as np

from tfrec.layers import FeatureEmbedding, FieldPlan, TableConfig

SCHEMA = """
name: kinds
features:
  user_id: {role: user, kind: categorical, id: true}
  age: {role: user, kind: numeric, buckets: 5}
  score: {role: user, kind: numeric}
  item_id: {role: item, kind: categorical, id: true}
  tags: {role: item, kind: categorical, separator: "|", max_values: 3}
  tag_weights: {role: item, kind: weights, of: tags, separator: "|"}
  topics: {role: item, kind: categorical, separator: "|", max_values: 2}
  picture: {role: item, kind: vector, length: 4, separator: " "}
  sound: {role: item, kind: vector, length: 2, separator: " "}
crosses:
  user_x_age: {of: [user_id, age], hash_buckets: 40}
  age_x_tags: {of: [age, tags], hash_buckets: 30}
split: {strategy: random}
"""
NUM_IDS = {"user_id": 20, "age": 6, "item_id": 25, "tags": 12, "topics": 9}
DIM, ROWS = 3, 14
COMPOSED = TableConfig(kind="quotient_remainder", rows=8)


def embedding_of(schema, features, tables=None, dim=DIM, **crosses):
    layer = FeatureEmbedding(FieldPlan(schema, NUM_IDS, features, tables, **crosses), dim, stddev=0.5, seed=4)
    rng = np.random.default_rng(1)
    for variable in layer.first_order:  # they start at 0: give them values to tell apart
        variable.assign(rng.normal(size=variable.shape))
    return layer
