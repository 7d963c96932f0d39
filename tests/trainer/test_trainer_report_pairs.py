"""Pairs of fields, combinations of values and neighbours against plain loops."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tfrec.layers import factorization_machine
from trainer.report.learnt.crosses import combination_weights, combinations
from trainer.report.learnt.neighbours import nearest
from trainer.report.learnt.pairs import pair_strengths


def test_pairs_of_a_factorization_machine_have_the_mean_size_of_their_dot_products():
    vectors = np.random.default_rng(3).normal(size=(50, 4, 3)).astype(np.float32)
    fields = ["a", "b", "c", "d"]
    expected = {}
    for f, g in itertools.combinations(range(4), 2):
        products = [sum(float(row[f][k]) * float(row[g][k]) for k in range(3)) for row in vectors]
        expected[fields[f], fields[g]] = (np.mean(np.abs(products)), np.std(products))
    found = pair_strengths(factorization_machine, tf.constant(vectors), fields)
    assert len(found) == 6
    for pair in found:
        assert (pair.strength, pair.spread) == pytest.approx(expected[pair.fields], abs=1e-5)
    assert [pair.strength for pair in found] == sorted((pair.strength for pair in found), reverse=True)


def test_combinations_are_counted_value_by_value():
    columns = {
        "age": np.array([1, 2, 1, 0, 1]),
        "genres": np.array([[3, 4, 0], [3, 0, 0], [4, 3, 0], [3, 4, 5], [0, 0, 0]]),
    }
    counts = {}
    for age, genres in zip(columns["age"].tolist(), columns["genres"].tolist(), strict=True):
        for genre in genres:
            if age and genre:
                counts[age, genre] = counts.get((age, genre), 0) + 1
    values, found = combinations(columns, ["age", "genres"])
    assert {tuple(row): int(count) for row, count in zip(values.tolist(), found, strict=True)} == counts
    assert found.tolist() == sorted(found.tolist(), reverse=True)


def test_the_weight_of_a_combination_is_looked_up_with_its_values_alone():
    """A stand-in of a model whose cross weighs 10 · age + genre, the mean over genres, doubled by other fields."""

    def embed(rows):
        genres, tags = rows["genres"].numpy().astype(float), rows["tag_weights"].numpy()
        present = genres > 0
        mean = (genres * present * tags).sum(axis=1) / (present * tags).sum(axis=1)
        other = np.full(len(genres), 99.0)
        return SimpleNamespace(weights=tf.constant(np.stack([other, 10 * rows["age"].numpy() + mean], axis=1)))

    embed.plan = SimpleNamespace(terms=("hour", "age_x_genres"), required_features={"age", "genres", "tag_weights"})
    weights_of = {"genres": "tag_weights"}.get
    model = SimpleNamespace(embedding=embed, inputs=SimpleNamespace(schema=SimpleNamespace(weights_of=weights_of)))
    columns = {
        "age": np.array([7, 7]),
        "genres": np.array([[5, 6], [1, 0]]),
        "tag_weights": np.array([[0.0, 3.0], [1.0, 0.0]], np.float32),
    }
    values = np.array([[1, 3], [2, 4], [9, 1]])
    found = combination_weights(model, columns, ["age", "genres"], values, "age_x_genres")
    assert found.tolist() == [13, 24, 91]


def test_neighbours_have_the_largest_cosines():
    rng = np.random.default_rng(6)
    vectors = rng.normal(size=(20, 4))
    vectors[7] = 0
    near, cosines = nearest(vectors, 5, 3)
    for row in range(5):
        found = []
        for other in range(20):
            lengths = math.sqrt(sum(x * x for x in vectors[row])) * math.sqrt(sum(x * x for x in vectors[other]))
            dot = sum(a * b for a, b in zip(vectors[row], vectors[other], strict=True))
            found.append((-(dot / lengths if lengths else 0.0), other))
        expected = sorted(pair for pair in found if pair[1] != row)[:3]
        assert near[row].tolist() == [other for _, other in expected]
        assert cosines[row] == pytest.approx([-negative for negative, _ in expected])
    assert nearest(vectors[:2], 5, 3)[0].tolist() == [[1], [0]]
