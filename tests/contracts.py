"""What every model has to keep. A new model inherits `RetrievalContract` or `RankingContract` and names itself."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.model_contract import ModelContract
from tests.trainer.planted_world import read_csv
from tests.trainer.raw_rows import call, padded


class RetrievalContract(ModelContract):
    signatures = {"serving_default", "recommend", "items", "explain"}
    # Whether items that nobody took are placed by what is known of them.
    has_content = False
    # Of the recommended items of known users those with a reason, at least.
    explained_share = 0.9
    # NDCG@10 of the test split over that of popularity, at least.
    gain_over_popularity = 2.0

    def answer(self, model, features):
        return model.scores(features).numpy()

    def recommend(self, exported, tensors, **more):
        defaults = {
            "k": tf.constant([10]),
            "exclude_ids": tf.constant([[""]]),
            "allow_ids": tf.constant([[""]]),
            "exclude_seen": tf.constant([True]),
        }
        signature = exported.signatures["recommend"]
        missing = {}
        for name, spec in signature.structured_input_signature[1].items():
            if name not in {**tensors, **defaults}:
                value = math.nan if spec.dtype.is_floating else ""
                missing[name] = tf.fill([1] * spec.shape.rank, tf.constant(value, spec.dtype))
        return call(signature, {**tensors, **missing}, **{**defaults, **more})

    def test_scores_are_finite_and_one_per_item(self, trained):
        model, data, _ = trained
        scores = self.answer(model, self.encoded_rows(model, data)[0])
        assert scores.shape == (300, 121)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_the_signatures_are_the_designed_ones(self, exported):
        assert set(exported.signatures) == self.signatures

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_a_raw_row_of_the_log_gets_the_score_of_its_encoded_record(self, trained, exported, log, split):
        model, data, _ = trained
        tensors, user_ids, _ = self.encoded_rows(model, data, split)
        expected = self.answer(model, tensors)
        of_user = {event.user_id: event for event in log.of_split(split)}
        raw = log.requests([of_user[user_id] for user_id in user_ids])
        found = self.recommend(exported, raw, k=tf.constant([121]), exclude_seen=tf.constant([False]))
        column = {item_id: index for index, item_id in enumerate(data.catalogue.ids)}
        by_index = np.full_like(expected, np.nan)
        for row, ids in enumerate(found["ids"]):
            by_index[row, [column[item_id] for item_id in ids]] = found["scores"][row]
        np.testing.assert_allclose(by_index, expected, rtol=1e-4, atol=1e-5)

    def test_a_user_id_alone_is_looked_up_with_the_latest_history(self, exported, log):
        lasts = log.of_split("test")[:40]
        raw = log.requests(lasts)
        raw["history"] = tf.constant(padded([[*event.past, event.item_id][-20:] for event in lasts]))
        given = self.recommend(exported, raw)
        looked_up = self.recommend(exported, {"user_id": raw["user_id"]})
        np.testing.assert_allclose(looked_up["scores"], given["scores"], rtol=1e-4, atol=1e-5)
        assert (looked_up["ids"] == given["ids"]).all()

    def test_an_unknown_user_gets_an_answer(self, exported):
        found = self.recommend(exported, {"user_id": tf.constant(["nobody", "", "u00003"])})
        assert found["ids"].shape == (3, 10)
        assert (found["ids"] != b"").all()
        assert np.isfinite(found["scores"]).all()

    # --- Cold start ---

    def test_a_user_of_whom_nothing_is_known_gets_what_is_popular(self, exported, log):
        counts = dict.fromkeys(log.items, 0)
        for event in log.of_split("train"):
            counts[event.item_id] += 1
        values = np.array(list(counts.values()))
        found = self.recommend(exported, {"user_id": tf.constant(["nobody"])})["ids"][0]
        # Of each recommended item the share of the catalogue that is no more popular: 0.5 is the middle.
        ranks = [np.mean(values <= counts[item_id.decode()]) for item_id in found]
        print(f"mean popularity rank {np.mean(ranks):.2f}")
        assert np.mean(ranks) >= 0.65

    def test_items_that_nobody_took_do_not_fill_the_lists(self, trained):
        model, data, _ = trained
        is_new = data.model_inputs.train.item_counts() == 0
        assert 0 < is_new.sum() < 10
        scores = self.answer(model, self.encoded_rows(model, data)[0])
        top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        share = is_new[top].any(axis=1).mean()
        print(f"{share:.3f} of the lists have one of {is_new.sum()} new items")
        assert self.has_content or share <= 0.05

    # --- Explanations ---

    def explain(self, exported, tensors, candidates):
        signature = exported.signatures["explain"]
        missing = {}
        for name, spec in signature.structured_input_signature[1].items():
            if name not in tensors and name != "candidate_ids":
                value = math.nan if spec.dtype.is_floating else ""
                missing[name] = tf.fill([1] * spec.shape.rank, tf.constant(value, spec.dtype))
        found = call(signature, {**tensors, **missing}, candidate_ids=tf.constant(candidates))
        return found["reasons"], found["weights"]

    def test_every_reason_is_an_item_that_the_user_took_or_a_feature_of_the_recommended_one(self, exported, log):
        taken = {}
        for event in log.events:
            taken.setdefault(event.user_id, set()).add(event.item_id)
        users = sorted(taken)[:60]
        lists = self.recommend(exported, {"user_id": tf.constant(users)})["ids"]
        reasons, weights = self.explain(exported, {"user_id": tf.constant(users)}, lists)
        assert reasons.shape == weights.shape
        assert reasons.shape[:2] == lists.shape
        assert np.isfinite(weights).all()
        assert (np.diff(weights, axis=2) <= 0).all()
        assert ((reasons != b"") == (weights > 0)).all()
        for user, items, of_items in zip(users, lists, reasons, strict=True):
            for item_id, labels in zip(items, of_items, strict=True):
                given = [label.decode() for label in labels if label]
                assert len(given) == len(set(given))
                for label in given:
                    assert self.is_true(label, item_id.decode(), taken[user], log.items), (user, item_id, label)
        share = (reasons[:, :, 0] != b"").mean()
        print(f"{share:.3f} of the items have a reason")
        assert share >= self.explained_share

    def is_true(self, label, item_id, taken, items):
        """Whether a reason for an item says what the log says, of a user who took some items."""
        if label == "popularity":
            return True
        name, is_feature, value = label.partition("=")
        if is_feature:
            return value.lower() in items[item_id][name].lower()
        kind, _, reason = label.partition(":")
        return kind == "item" and reason in taken and reason != item_id

    def test_a_user_without_history_gets_no_reason_from_one(self, exported):
        lists = self.recommend(exported, {"user_id": tf.constant(["nobody"])})["ids"]
        reasons, _ = self.explain(exported, {"user_id": tf.constant(["nobody"])}, lists)
        assert not any(label.startswith(b"item:") for label in reasons.ravel())

    def test_unknown_candidates_and_padding_have_no_reasons(self, exported, log):
        known = next(iter(log.items))
        user = {"user_id": tf.constant([log.events[0].user_id])}
        reasons, weights = self.explain(exported, user, [["never seen", known, ""]])
        assert (reasons[0, [0, 2]] == b"").all()
        assert (weights[0, [0, 2]] == 0).all()

    def test_it_beats_popularity_on_the_planted_world(self, job):
        metrics = job.read_metrics()
        gain = metrics["test/ndcg_at_10"] / metrics["test/popularity/ndcg_at_10"]
        assert gain >= self.gain_over_popularity


class PersonalContract(RetrievalContract):
    """A retrieval model that looks at the user."""

    # The favourite genre's share of the top 10, at least: relative to a list of all of it that is left, and to those
    # of popularity and chance.
    favourite_genre_share, favourite_genre_gain = 1.0, 1.0

    def test_the_top_10_are_full_of_the_users_favourite_genre(self, world, log, exported):
        truth = {row["user_id"]: row["favourite_genre"] for row in read_csv(world.logs / "truth.csv")}
        users = list(truth)
        counts = dict.fromkeys(log.items, 0)
        for event in log.events:
            counts[event.item_id] += event.split == "train"
        seen = {user_id: set() for user_id in users}
        for event in log.events:
            seen[event.user_id].add(event.item_id)

        def share(lists):
            hits = [truth[u] in log.items[i]["genres"].split("|") for u, items in zip(users, lists) for i in items]
            return np.mean(hits)

        unseen = [[item_id for item_id in log.items if item_id not in seen[user_id]] for user_id in users]
        popular = share([sorted(items, key=lambda item_id: -counts[item_id])[:10] for items in unseen])
        chance = share(unseen)
        # Users took much of their favourite genre: no list can hold more of it than is left.
        left = [sum(truth[u] in log.items[i]["genres"].split("|") for i in items) for u, items in zip(users, unseen)]
        possible = np.mean(np.minimum(left, 10)) / 10
        found = self.recommend(exported, {"user_id": tf.constant(users)})["ids"]
        reached = share([[item_id.decode() for item_id in row] for row in found])
        print(f"{reached:.3f} of {possible:.3f}; popularity {popular:.3f}, chance {chance:.3f}")
        assert reached >= self.favourite_genre_share * possible
        assert reached >= self.favourite_genre_gain * max(popular, chance)


class RankingContract(ModelContract):
    signatures = {"serving_default", "examples", "rank", "items"}

    def answer(self, model, features):
        return model.predictions(features).numpy()

    def rows_both_ways(self, trained, log, split):
        """(predictions on encoded records, the same events as raw tensors)."""
        model, data, _ = trained
        tensors, user_ids, item_ids = self.encoded_rows(model, data, split)
        events = {(event.user_id, event.item_id): event for event in log.of_split(split)}
        chosen = [events[pair] for pair in zip(user_ids, item_ids, strict=True)]
        # A request without a history is answered with the stored one: a first event has no raw twin.
        rows = np.flatnonzero([len(event.past) > 0 for event in chosen])[:2000]
        encoded = {name: tf.gather(value, rows) for name, value in tensors.items()}
        return self.answer(model, encoded), log.requests([chosen[row] for row in rows])

    def test_predictions_are_probabilities_of_the_logits(self, trained):
        model, data, _ = trained
        tensors = self.encoded_rows(model, data)[0]
        logits = model.logits(tensors).numpy().astype(np.float64)
        assert logits.shape == (300,)
        np.testing.assert_allclose(self.answer(model, tensors), 1 / (1 + np.exp(-logits)), rtol=1e-5)

    def test_the_signatures_are_the_designed_ones(self, exported):
        assert set(exported.signatures) == self.signatures

    @pytest.mark.parametrize("split", ["train", "validation", "test"])
    def test_a_raw_row_of_the_log_gets_the_score_of_its_encoded_record(self, trained, exported, log, split):
        expected, raw = self.rows_both_ways(trained, log, split)
        found = call(exported.signatures["serving_default"], raw)["scores"]
        assert len(expected) >= 300
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

    def test_a_serialized_example_gets_the_score_of_its_encoded_record(self, trained, exported, log):
        expected, raw = self.rows_both_ways(trained, log, "test")
        found = exported.signatures["examples"](examples=tf.constant(plain_examples(raw)))["scores"].numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

    def test_it_beats_the_items_mean_label_on_the_planted_world(self, job):
        metrics = job.read_metrics()
        for split in ("validation", "test"):
            assert metrics[f"{split}/log_loss"] < metrics[f"{split}/item_mean/log_loss"]
            assert metrics[f"{split}/auc"] > metrics[f"{split}/item_mean/auc"]


def plain_examples(raw):
    """Raw tensors as serialized tf.train.Examples, one constructor call per row; missing values are left out."""
    columns = {name: value.numpy() for name, value in raw.items()}
    result = []
    for row in range(len(columns["user_id"])):
        example = tf.train.Example()
        for name, values in columns.items():
            given = [v for v in np.atleast_1d(values[row]) if v not in (b"",) and v == v]
            if values.dtype == np.float32:
                example.features.feature[name].float_list.value.extend(given)
            else:
                example.features.feature[name].bytes_list.value.extend(given)
            if not given:
                del example.features.feature[name]
        result.append(example.SerializeToString())
    return result
