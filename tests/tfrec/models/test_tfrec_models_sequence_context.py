"""Items' features, context and time of sequence models: training says what answers say, and finds what was planted."""

import math
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism

from tests.tfrec.models.sequence_context import (
    ALL,
    HOUR_MS,
    SEQUENCES,
    START,
    batch_of,
    inputs_with_context,
    made,
    request_of,
    trained,
)
from tests.tfrec.models.taken_items import FIRST_ID, inputs_of
from tests.trainer.raw_rows import call
from tfrec.errors import ConfigError
from tfrec.export import RetrievalExport
from tfrec.feature_transform import FeatureTransform
from tfrec.models.bert import Bert, BertConfig
from tfrec.models.gru import GRU, GRUConfig
from tfrec.models.sequences.step_context import Context
from tfrec.models.sequences.time_vectors import OCTAVES, bias_of_gaps, day_of_week, hour_of_day, octave
from tfrec.models.transformer import Transformer, TransformerConfig
from tfrec.schema import EVENT_TIME_MS
from trainer.export import export_tables
from trainer.model import build_model


def test_octaves_hours_and_weekdays_are_those_of_the_calendar():
    random = np.random.default_rng(1)
    times = random.integers(0, 2_000_000_000_000, 300)
    gaps = np.concatenate([random.integers(0, 1 << 40, 300), [-5, 0, 999, 1000, 3000, 1023_000, 1024_000]])
    moments = [datetime.fromtimestamp(time / 1000, UTC) for time in times]
    assert hour_of_day(tf.constant(times)).numpy().tolist() == [moment.hour for moment in moments]
    assert day_of_week(tf.constant(times)).numpy().tolist() == [moment.isoweekday() % 7 for moment in moments]
    expected = [min(math.floor(math.log2(1 + max(gap, 0) / 1000) + 1e-6), 31) for gap in gaps]
    assert octave(tf.constant(gaps)).numpy().tolist() == expected


def test_the_gradient_of_the_bias_is_that_of_looking_it_up():
    random = np.random.default_rng(2)
    table = tf.constant(random.normal(size=(2, OCTAVES)), tf.float32)
    octaves = tf.constant(random.integers(0, OCTAVES, (3, 4, 4)), tf.int32)
    weights = tf.constant(random.normal(size=(3, 2, 4, 4)), tf.float32)
    results = []
    for look in (bias_of_gaps, lambda t, o: tf.transpose(tf.gather(t, o, axis=1), [1, 0, 2, 3])):
        with tf.GradientTape() as tape:
            tape.watch(table)
            found = look(table, octaves)
            total = tf.reduce_sum(found * weights)
        results.append((found, tf.convert_to_tensor(tape.gradient(total, table))))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cls", "config", "encoder"),
    [
        (Transformer, TransformerConfig, {"dropout": 0.0, "relative_time": True}),
        (Transformer, TransformerConfig, {"dropout": 0.0, "relative_time": True, "relative_places": True}),
        (Transformer, TransformerConfig, {"kind": "hstu", "dropout": 0.0, "relative_time": True}),
        (GRU, GRUConfig, {"dropout": 0.0}),
    ],
)
def test_the_loss_of_packed_windows_is_that_of_the_scores_of_each_request(cls, config, encoder):
    model = made(cls, config, inputs_with_context(SEQUENCES), encoder=encoder, **ALL)
    losses = []
    for sequence in SEQUENCES:
        for step in range(1, len(sequence)):
            item, device, time_ms = sequence[step]
            scores = model.scores(request_of(sequence[:step], device, time_ms)).numpy()[0].astype(float)
            losses.append(math.log(np.exp(scores).sum()) - scores[item])
    assert float(model.compute_loss(batch_of(SEQUENCES))) == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_mask_at_the_end_of_a_window_is_that_of_a_request(monkeypatch):
    encoder = {"dropout": 0.0, "relative_time": True, "relative_places": True}
    model = made(Bert, BertConfig, inputs_with_context(SEQUENCES), encoder=encoder, **ALL)
    lasts = [[0, 0, 0, 0, 1, 0, 0, 1]]
    monkeypatch.setattr(model, "_masked", lambda segments: tf.constant(lasts) > 0)
    losses = []
    for *past, (item, device, time_ms) in SEQUENCES:
        scores = model.scores(request_of(past, device, time_ms)).numpy()[0].astype(float)
        losses.append(math.log(np.exp(scores).sum()) - scores[item])
    found = float(model.compute_loss(batch_of(SEQUENCES, has_next=False)))
    assert found == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize(
    "changed", [{"device": 3}, {EVENT_TIME_MS: START + 14 * HOUR_MS}, {"devices": 2}, {"times": START}, {"history": 4}]
)
def test_every_part_of_a_request_counts(changed):
    model = made(Transformer, TransformerConfig, inputs_with_context(SEQUENCES), encoder={"dropout": 0.0}, **ALL)
    request = request_of(SEQUENCES[0][:3], 0, START + 100 * HOUR_MS)
    before = model.scores(request).numpy()
    for name, value in changed.items():
        values = request[name].numpy()
        values[(0, 1) if values.ndim == 2 else 0] = value
        request[name] = tf.constant(values)
    assert not np.allclose(model.scores(request).numpy(), before, atol=1e-4)


def test_unknown_times_and_context_add_nothing_and_give_finite_answers():
    model = made(Transformer, TransformerConfig, inputs_with_context(SEQUENCES), encoder={"dropout": 0.0}, **ALL)
    request = request_of(SEQUENCES[0][:3], 0, 0)
    request["times"] = tf.zeros_like(request["times"])
    request["device"] = tf.zeros_like(request["device"])
    assert np.isfinite(model.scores(request).numpy()).all()
    total = model._context.time_of_request.of(request[EVENT_TIME_MS], tf.constant([START], tf.int64))
    assert not total.numpy().any()


def test_in_training_a_share_of_the_requests_says_nothing_of_itself():
    model = made(Transformer, TransformerConfig, inputs_with_context(SEQUENCES), context_dropout=0.25, **ALL)
    ids = tf.ones([300, 40], tf.int64)
    context = Context({"device": ids + 1}, ids * START)
    seed = tf.constant([1, 2])
    found = model._context.partly_hidden(context, ids, seed)
    hidden = found.times_ms.numpy() == 0
    assert abs(hidden.mean() - 0.25) < 5 * math.sqrt(0.1875 / hidden.size)
    np.testing.assert_array_equal(found.features["device"].numpy(), np.where(hidden, 0, 2))
    np.testing.assert_array_equal(found.times_ms.numpy(), np.where(hidden, 0, START))


def test_an_item_that_nobody_took_is_placed_by_its_features_and_is_last_where_none_are_read():
    inputs = inputs_with_context(
        [[e for e in row if e[0] != 6] for row in SEQUENCES]
    )  # nobody took item 6, of the genre of 0 and 3
    model = made(Transformer, TransformerConfig, inputs, item_features=("genre",))
    without = made(Transformer, TransformerConfig, inputs)
    request = request_of(SEQUENCES[1][:2], 0, START)
    genre = model._items.embedding.look_up("genre", tf.constant([2])).numpy()[0]
    query = model.embed_users(request).numpy()[0, :8]
    expected = float(query @ genre) + model._items.bias.numpy()[FIRST_ID:].mean()
    assert model.scores(request).numpy()[0, 6] == pytest.approx(expected, rel=1e-4)
    scores = without.scores(request).numpy()[0]
    assert scores[6] < scores[:6].min()


def planted(kind, seed):
    """Events whose half of the items is said by the hour of the day, or by the device, and by nothing else."""
    random = np.random.default_rng(seed)
    sequences = []
    for _ in range(80):
        row, moment = [], START - START % (24 * HOUR_MS)
        for _ in range(6):
            moment += int(random.integers(1, 48)) * HOUR_MS
            device = int(random.integers(3))
            is_first = (moment // HOUR_MS) % 24 < 12 if kind == "hour" else device == 1
            row.append((int(random.integers(3)) + (0 if is_first else 3), device, moment))
        sequences.append(row)
    return sequences


@pytest.mark.parametrize(
    ("kind", "choices"), [("hour", {"time": ("hour",)}), ("device", {"context_features": ("device",)})]
)
def test_a_planted_rhythm_and_a_planted_context_are_found_and_without_them_nothing_is(kind, choices):
    sequences = planted(kind, 3)
    inputs = inputs_with_context(sequences, 6)

    def share(model):
        """Of events of other users those whose half of the items comes first."""
        found = []
        for row in planted(kind, 4):
            *past, (item, device, moment) = row
            best = int(model.scores(request_of(past, device, moment)).numpy()[0].argmax())
            found.append((best < 3) == (item < 3))
        return np.mean(found)

    assert share(trained(inputs, sequences, **choices)) >= 0.9
    assert share(trained(inputs, sequences)) <= 0.7  # of 80 users, where guessing gives one half


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"time": ("gap",)}, r"^model.time: needs a timestamp and the times of the history;[^\n]*$"),
        (
            {"encoder": {"relative_time": True}},
            r"^model.encoder.relative_time: needs a timestamp and the times of the history;[^\n]*$",
        ),
        ({"context_features": ("age",)}, r"^model.context_features: no encoded feature 'age' of role context[^\n]*$"),
    ],
)
def test_what_the_dataset_does_not_have_is_refused_in_one_line(choices, message):
    with pytest.raises(ConfigError, match=message):
        Transformer(TransformerConfig(embedding_dim=8, **choices), inputs_of([[0, 1]], 2, 4))


def test_the_served_model_answers_for_the_time_of_the_request_and_else_for_now(world, tmp_path):
    times = "features.times={role: user, kind: sequence, length: 20, of: event_time_ms}"
    world.dataset("with_times", times)
    data = world.data("with_times")
    chosen = ("model.embedding_dim=8", "model.time=[gap,hour]", "model.encoder.relative_time=true")
    model = build_model(world.config("transformer", *chosen, dataset="with_times"), data)
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.3, variable.shape))
    model.refresh()
    transform = FeatureTransform(data.schema, data.dataset.transform)
    module = RetrievalExport(model, transform, export_tables(data), tmp_path)
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.signatures())
    recommend = tf.saved_model.load(str(tmp_path / "saved")).signatures["recommend"]
    ids, now = [item.decode() for item in data.catalogue.ids[:3]], int(time.time() * 1000)
    past = [now - 50 * HOUR_MS, now - 30 * HOUR_MS, now - 29 * HOUR_MS]
    raw = {"user_id": tf.constant(["nobody"]), "history": tf.constant([ids])}
    raw["times"] = tf.constant([past], tf.int64)

    none = tf.constant([[""]])

    def scores(moment):
        """Of all items; 0 is what the client sends where it is not told a time."""
        everything = {"k": tf.constant([121]), "exclude_seen": tf.constant([False])}
        asked = {**raw, EVENT_TIME_MS: tf.constant([moment], tf.int64), "exclude_ids": none, "allow_ids": none}
        found = call(recommend, asked, **everything)
        return dict(zip(found["ids"][0], found["scores"][0], strict=True))

    tf.config.experimental.enable_op_determinism()  # as in a process that trains, which has no clock and needs none
    for moment in (now, now + 7 * HOUR_MS):
        encoded = {**transform(raw), EVENT_TIME_MS: tf.constant([moment], tf.int64)}
        expected = dict(zip(data.catalogue.ids, model.scores(encoded).numpy()[0], strict=True))
        given = scores(moment)
        assert given == {item: pytest.approx(score, rel=1e-4, abs=1e-4) for item, score in expected.items()}
    disable_op_determinism()
    before = int(time.time() * 1000)
    unsaid = scores(0)
    clock = [scores(moment) for moment in (before, int(time.time() * 1000))]
    near = [max(abs(one[item] - unsaid[item]) for item in one) for one in clock]
    assert min(near) < 1e-3  # that of this hour, or of the one that began while this ran
    later = scores(now + 7 * HOUR_MS)
    assert max(abs(later[item] - unsaid[item]) for item in unsaid) > 0.01
