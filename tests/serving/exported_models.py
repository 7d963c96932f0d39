"""Small SavedModels with stock ops, of the kinds that a model server meets."""

import tensorflow as tf

ITEM_IDS = [f"i{i}" for i in range(8)]
HISTORY_OF_U1 = ["i1"]


class Adder(tf.Module):
    """`sum` = a + b + bias with an optional b; `slow` counts; `parse` fails on what is no number."""

    def __init__(self, bias):
        super().__init__()
        self.bias = tf.Variable(bias)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="a"),
            tf.TensorSpec([None], tf.float32, name="b"),
        ]
    )
    def add(self, a, b=tf.constant([5.0])):  # noqa: B008
        return {"sum": a + b + self.bias, "difference": a - b}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="a"),
            tf.TensorSpec([None], tf.float32, name="b"),
        ]
    )
    def add_both(self, a, b):
        return {"sum": a + b + self.bias}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="steps")])
    def slow(self, steps):
        count = tf.while_loop(lambda i: i < steps[0], lambda i: (i + 1,), [tf.constant(0)])
        return {"count": tf.reshape(count[0], [1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def parse(self, text):
        return {"number": tf.strings.to_number(text), "text": text, "size": tf.strings.length(text)}

    def save(self, path):
        signatures = {
            "serving_default": self.add,
            "add_both": self.add_both,
            "slow": self.slow,
            "parse": self.parse,
        }
        tf.saved_model.save(self, str(path), signatures=signatures)


def contains(rows, ids):
    """Tell for each row which of `ids` it lists; bool [batch, num_ids]. "" lists nothing."""
    return tf.reduce_any(rows[:, tf.newaxis, :] == ids[tf.newaxis, :, tf.newaxis], axis=-1)


class Recommender(tf.Module):
    """Ranks items in the catalogue's order, for user `u1` in reverse; `boost`, 100 for each
    of `genres`, the years after 2000 and 50 on a weekend are added to every score.
    """

    def __init__(self):
        super().__init__()
        self.ids = tf.Variable(ITEM_IDS)
        self.titles = tf.Variable([f"Title of [{item_id}]" for item_id in ITEM_IDS])

    def scores(self, user_id, boost, genres):
        num_items = len(ITEM_IDS)
        order = tf.range(num_items, dtype=tf.float32)
        is_u1 = (user_id == "u1")[:, tf.newaxis]
        num_genres = tf.reduce_sum(tf.cast(genres != "", tf.float32), axis=1)
        return tf.where(is_u1, order, num_items - 1 - order) + (boost + 100 * num_genres)[:, tf.newaxis]

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None], tf.float32, name="boost"),
            tf.TensorSpec([None, None], tf.string, name="genres"),
            tf.TensorSpec([None], tf.int64, name="year"),
            tf.TensorSpec([None], tf.bool, name="is_weekend"),
            tf.TensorSpec([None], tf.int32, name="k"),
            tf.TensorSpec([None, None], tf.string, name="exclude_ids"),
            tf.TensorSpec([None, None], tf.string, name="allow_ids"),
            tf.TensorSpec([None], tf.bool, name="exclude_seen"),
        ]
    )
    def recommend(
        self,
        user_id,
        boost=tf.constant([0.0]),  # noqa: B008
        genres=tf.constant([[""]]),  # noqa: B008
        year=tf.constant([2000], tf.int64),  # noqa: B008
        is_weekend=tf.constant([False]),  # noqa: B008
        k=tf.constant([10]),  # noqa: B008
        exclude_ids=tf.constant([[""]]),  # noqa: B008
        allow_ids=tf.constant([[""]]),  # noqa: B008
        exclude_seen=tf.constant([True]),  # noqa: B008
    ):
        boost += tf.cast(year - 2000, tf.float32) + 50 * tf.cast(is_weekend, tf.float32)
        scores = self.scores(user_id, boost, genres)
        is_seen = (user_id == "u1")[:, tf.newaxis] & contains(tf.constant([HISTORY_OF_U1]), self.ids)
        hides = contains(exclude_ids, self.ids) | (is_seen & exclude_seen[:, tf.newaxis])
        has_allow_list = tf.reduce_any(allow_ids != "", axis=1, keepdims=True)
        hides |= has_allow_list & ~contains(allow_ids, self.ids)
        scores = tf.where(hides, -float("inf"), scores)
        width = tf.minimum(tf.reduce_max(k), len(ITEM_IDS))
        top, columns = tf.math.top_k(scores, k=width)
        is_past_k = tf.range(width)[tf.newaxis, :] >= k[:, tf.newaxis]
        top = tf.where(is_past_k, -float("inf"), top)
        return {"ids": tf.where(top == -float("inf"), "", tf.gather(self.ids, columns)), "scores": top}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name="candidate_ids"),
            tf.TensorSpec([None], tf.float32, name="boost"),
        ]
    )
    def rank(self, user_id, candidate_ids, boost=tf.constant([0.0])):  # noqa: B008
        numbers = tf.strings.to_number(tf.strings.substr(candidate_ids, 1, 3))
        sign = tf.where(user_id == "u1", 1.0, -1.0)[:, tf.newaxis]
        scores = sign * numbers + boost[:, tf.newaxis]
        order = tf.argsort(scores, direction="DESCENDING")
        return {
            "ids": tf.gather(candidate_ids, order, batch_dims=1),
            "scores": tf.gather(scores, order, batch_dims=1),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name="candidate_ids"),
            tf.TensorSpec([None], tf.float32, name="boost"),
        ]
    )
    def explain(self, user_id, candidate_ids, boost=tf.constant([0.0])):  # noqa: B008
        """Everything by the one item that `u1` took and a feature, nothing for `i2`, popularity for all others."""
        shape = tf.shape(candidate_ids)
        is_u1 = tf.broadcast_to((user_id == "u1")[:, tf.newaxis], shape)
        by_item = tf.stack([tf.fill(shape, "item:" + HISTORY_OF_U1[0]), tf.fill(shape, "genres=[a]")], axis=2)
        popular = tf.stack([tf.fill(shape, "popularity"), tf.fill(shape, "")], axis=2)
        labels = tf.where(is_u1[:, :, tf.newaxis], by_item, popular)
        labels = tf.where((candidate_ids == "i2")[:, :, tf.newaxis], "", labels)
        weights = tf.where(labels == "", 0.0, tf.constant([0.75, 0.25]) + boost[:, tf.newaxis, tf.newaxis])
        return {"reasons": labels, "weights": weights}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="item_ids")])
    def items(self, item_ids):
        matches = item_ids[:, tf.newaxis] == self.ids[tf.newaxis, :]
        titles = tf.gather(self.titles, tf.argmax(tf.cast(matches, tf.int32), axis=1))
        return {"title": tf.where(tf.reduce_any(matches, axis=1), titles, "")}

    def save(self, path):
        signatures = {
            "serving_default": self.recommend,
            "recommend": self.recommend,
            "rank": self.rank,
            "items": self.items,
            "explain": self.explain,
        }
        tf.saved_model.save(self, str(path), signatures=signatures)


class Judge(tf.Module):
    """Classifies and regresses examples by their number `x` (and context `c`, 0 where it is left out)."""

    def parsed(self, inputs):
        zero = tf.io.FixedLenFeature([], tf.float32, 0.0)
        found = tf.io.parse_example(inputs, {"x": zero, "c": zero})
        return found["x"] + 100 * found["c"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        x = self.parsed(inputs)
        labels = tf.tile(tf.constant([["negative", "positive"]]), [tf.size(x), 1])
        return {"classes": labels, "scores": tf.stack([-x, x], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def scores_alone(self, inputs):
        return {"scores": self.parsed(inputs)[:, tf.newaxis]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def flat_scores(self, inputs):
        return {"scores": self.parsed(inputs)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        return {"outputs": 2 * self.parsed(inputs)[:, tf.newaxis]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def whole_numbers(self, inputs):
        return {"outputs": tf.cast(self.parsed(inputs), tf.int32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="raw")])
    def echo(self, raw):
        return {"raw_bytes": raw}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def halve(self, x):
        return {"y": x / 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def total(self, x):
        return {"total": tf.reduce_sum(x)}

    def save(self, path):
        signatures = {
            "serving_default": self.classify,
            "scores_alone": self.scores_alone,
            "flat_scores": self.flat_scores,
            "regress": self.regress,
            "whole_numbers": self.whole_numbers,
            "echo": self.echo,
            "halve": self.halve,
            "total": self.total,
        }
        tf.saved_model.save(self, str(path), signatures=signatures)


def save_templates(root):
    """Save one SavedModel of each kind below `root`."""
    Adder(0.0).save(root / "adder")
    Adder(100.0).save(root / "adder_plus_100")
    Recommender().save(root / "recommender")
    Judge().save(root / "judge")
