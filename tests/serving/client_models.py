"""SavedModels for the client's tests: a ranker with a feature of its own, and two towers."""

import tensorflow as tf

HISTORY = "history"


class Ranker(tf.Module):
    """Ranks by the number in the id, on a `device` called "tv" from the smallest; `boost` is added."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name="candidate_ids"),
            tf.TensorSpec([None], tf.string, name="device"),
            tf.TensorSpec([None], tf.float32, name="boost"),
        ]
    )
    def rank(self, user_id, candidate_ids, device=tf.constant([""]), boost=tf.constant([0.0])):  # noqa: B008
        digits = tf.strings.regex_replace(candidate_ids, "^i", "")
        numbers = tf.strings.to_number(tf.where(digits == "", "0", digits))
        scores = tf.where(device == "tv", -1.0, 1.0)[:, tf.newaxis] * numbers + boost[:, tf.newaxis]
        scores = tf.where(candidate_ids == "", -float("inf"), scores)
        order = tf.argsort(scores, direction="DESCENDING")
        return {
            "ids": tf.gather(candidate_ids, order, batch_dims=1),
            "scores": tf.gather(scores, order, batch_dims=1),
        }

    def save(self, path):
        tf.saved_model.save(self, str(path), signatures={"serving_default": self.rank, "rank": self.rank})


class Towers(tf.Module):
    """A user's vector is the length of the id and of the history; an item's the length of its id, twice.

    `recommend` gives the user's history back, the last one first.
    """

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name=HISTORY),
        ]
    )
    def user_embedding(self, user_id, history=tf.constant([[""]])):  # noqa: B008
        taken = tf.reduce_sum(tf.cast(history != "", tf.float32), axis=1)
        return {"embeddings": tf.stack([tf.cast(tf.strings.length(user_id), tf.float32), taken], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="item_id")])
    def item_embedding(self, item_id):
        length = tf.cast(tf.strings.length(item_id), tf.float32)
        return {"embeddings": tf.stack([length, length], axis=1)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name=HISTORY),
            tf.TensorSpec([None], tf.int32, name="k"),
        ]
    )
    def recommend(self, user_id, history=tf.constant([[""]]), k=tf.constant([10])):  # noqa: B008
        ids = tf.where(history == "", "cold", history)[:, ::-1][:, : tf.reduce_max(k)]
        return {
            "ids": ids,
            "scores": -tf.cast(tf.range(tf.shape(ids)[1])[tf.newaxis, :], tf.float32)
            + tf.zeros_like(tf.strings.length(ids), tf.float32),
        }

    def save(self, path):
        signatures = {
            "serving_default": self.recommend,
            "recommend": self.recommend,
            "user_embedding": self.user_embedding,
            "item_embedding": self.item_embedding,
        }
        tf.saved_model.save(self, str(path), signatures=signatures)
