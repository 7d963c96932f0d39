"""A recommender of two numbers an item, so that every answer can be worked out with NumPy."""

import numpy as np
import tensorflow as tf

from tests.serving.small_dataset import ITEMS

VECTORS = {
    1: np.float32([[1, 0], [0.9, 0.3], [0.7, 0.75], [0.2, 1], [-0.5, 0.8], [-1, 0.1], [-0.4, -0.9], [0.6, -0.8]]),
    2: np.float32([[0.1, 1], [1, 0.2], [0.3, 0.9], [-1, 0.4], [0.8, 0.5], [0.5, -1], [-0.7, -0.4], [-0.1, -0.6]]),
}
DEFAULT_USER = np.float32([1, 0.5])


def scores_of(version, history=()):
    """What the model gives each item: the product with the history's latest vector, or with the default one."""
    vectors = VECTORS[version]
    return vectors @ (vectors[ITEMS.index(history[-1])] if history else DEFAULT_USER)


def zero(user_id):
    """0, made of an input that the answer does not depend on."""
    return 0 * tf.cast(tf.size(user_id), tf.float32)


class VectorRecommender(tf.Module):
    """Signatures `recommend`, `rank` (the other way round), `explain`, `items` and `item_embedding`."""

    def __init__(self, version):
        super().__init__()
        self.ids = tf.Variable(ITEMS)
        self.vectors = tf.Variable(VECTORS[version])

    def rows(self, ids):
        return tf.argmax(tf.cast(ids[..., tf.newaxis] == self.ids, tf.int32), axis=-1)

    def are_in(self, rows):
        return tf.reduce_any(rows[:, tf.newaxis, :] == self.ids[tf.newaxis, :, tf.newaxis], axis=-1)

    def scores(self, user_id, history):
        """Of all items, for the one user of a request: by the last item of the history, where there is one."""
        last = tf.gather(self.vectors, self.rows(history[:, -1]))
        user = tf.where(history[:, -1:] == "", DEFAULT_USER[np.newaxis], last)
        return tf.linalg.matvec(self.vectors, user[0]) + zero(user_id)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name="history"),
            tf.TensorSpec([None], tf.int32, name="k"),
            tf.TensorSpec([None, None], tf.string, name="exclude_ids"),
            tf.TensorSpec([None, None], tf.string, name="allow_ids"),
            tf.TensorSpec([None], tf.bool, name="exclude_seen"),
        ]
    )
    def recommend(
        self,
        user_id,
        history=tf.constant([[""]]),  # noqa: B008
        k=tf.constant([10]),  # noqa: B008
        exclude_ids=tf.constant([[""]]),  # noqa: B008
        allow_ids=tf.constant([[""]]),  # noqa: B008
        exclude_seen=tf.constant([True]),  # noqa: B008
    ):
        """One user at a time: rows of several would not be told apart here."""
        scores = self.scores(user_id, history)[tf.newaxis]
        has_list = tf.reduce_any(allow_ids != "", axis=1, keepdims=True)
        hides = self.are_in(exclude_ids) | (has_list & ~self.are_in(allow_ids))
        hides |= exclude_seen[:, tf.newaxis] & (self.ids[tf.newaxis] == "i7")  # all have seen i7
        scores = tf.where(hides, -float("inf"), scores)
        top, places = tf.math.top_k(scores, tf.minimum(k[0], len(ITEMS)))
        return {"ids": tf.where(top == -float("inf"), "", tf.gather(self.ids, places)), "scores": top}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name="candidate_ids"),
        ]
    )
    def rank(self, user_id, candidate_ids):
        scores = -tf.linalg.matvec(tf.gather(self.vectors, self.rows(candidate_ids)), DEFAULT_USER)
        scores += zero(user_id)
        order = tf.argsort(scores, direction="DESCENDING")
        found = {"ids": candidate_ids, "scores": scores}
        return {name: tf.gather(values, order, batch_dims=1) for name, values in found.items()}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name="candidate_ids"),
        ]
    )
    def explain(self, user_id, candidate_ids):
        by_item = tf.fill(tf.shape(candidate_ids), "item:i0")
        by_user = tf.fill(tf.shape(candidate_ids), "user=") + user_id[:, tf.newaxis]
        weights = tf.ones(tf.concat([tf.shape(candidate_ids), [2]], axis=0)) * [0.75, 0.25]
        return {"reasons": tf.stack([by_item, by_user], axis=2), "weights": weights}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="item_ids")])
    def items(self, item_ids):
        return {"title": "Model's title of " + item_ids}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="item_id")])
    def item_embedding(self, item_id):
        return {"embeddings": tf.gather(self.vectors, self.rows(item_id))}

    def save(self, path):
        names = ("recommend", "rank", "explain", "items", "item_embedding")
        signatures = {"serving_default": self.recommend, **{name: getattr(self, name) for name in names}}
        tf.saved_model.save(self, str(path), signatures=signatures)


class StagedRecommender(VectorRecommender):
    """Its list upside down, as a cascade says it: `near` found all items, `even` those with an even number.

    The second place of the list explores.
    """

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name="history"),
            tf.TensorSpec([None], tf.int32, name="k"),
            tf.TensorSpec([None], tf.bool, name="exclude_seen"),
        ]
    )
    def stages(
        self,
        user_id,
        history=tf.constant([[""]]),  # noqa: B008
        k=tf.constant([10]),  # noqa: B008
        exclude_seen=tf.constant([True]),  # noqa: B008
    ):
        scores = self.scores(user_id, history)
        is_left = ~(exclude_seen & (self.ids == "i7"))
        near = tf.argsort(tf.argsort(tf.where(is_left, -scores, float("inf")))) + 1
        even = tf.where(tf.range(len(ITEMS)) % 2 == 0, tf.range(len(ITEMS)) // 2 + 1, 0)
        order = tf.argsort(tf.where(is_left, scores, float("inf")))[: tf.minimum(k[0], len(ITEMS))]
        is_result = tf.gather(is_left, order)
        places = tf.range(tf.size(order)) + 1
        found = {
            "ids": tf.where(is_result, tf.gather(self.ids, order), ""),
            "scores": tf.where(is_result, -tf.gather(scores, order), -float("inf")),
            "sources": tf.constant(["near", "even"]),
            "source_ranks": tf.gather(tf.stack([near, even], axis=1), order),
            "source_scores": tf.gather(tf.stack([scores, scores], axis=1), order),
            "fused_scores": 1 / (60 + tf.gather(tf.cast(near, tf.float32), order)),
            "ranking_places": places,
            "is_explored": places == 2,
            "reasons": tf.tile([["item:i0", ""]], [tf.size(order), 1]),
            "weights": tf.tile([[0.75, 0.0]], [tf.size(order), 1]),
        }
        return {name: value[tf.newaxis] for name, value in found.items()}

    def save(self, path):
        names = ("recommend", "stages", "items")
        signatures = {"serving_default": self.recommend, **{name: getattr(self, name) for name in names}}
        tf.saved_model.save(self, str(path), signatures=signatures)
