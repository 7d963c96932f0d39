"""The transformer against plain loops, packed against one by one, no look ahead, the served history; the contract."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts import PersonalContract
from tests.tfrec.models.sequence_windows import (
    PACKED,
    assert_neighbours_change_nothing,
    assert_no_look_ahead,
    item_steps_by_hand,
    logits_by_hand,
    next_item_share,
    outputs_by_hand,
    windows,
)
from tests.tfrec.models.taken_items import inputs_of, request
from tfrec.errors import ConfigError
from tfrec.models.gru import GRUConfig
from tfrec.models.sequences.next_item_loss import NextItemLoss
from tfrec.models.transformer import Transformer, TransformerConfig

NON_DEFAULT = {
    "embedding_dim": 12,
    "embedding_stddev": 0.25,
    "item_features": ["genres"],
    "context_features": ["device"],
    "time": ["gap", "hour"],
    "context_dropout": 0.25,
    "item_dropout": 0.125,
    "predicted_features": ["device"],
    "predicted_weight": 0.25,
    "length": 7,
    "loss": {"kind": "gbce", "num_negatives": 33, "alpha": 0.25, "calibration": 0.5},
    "encoder": {
        "kind": "attention",
        "layers": 3,
        "heads": 4,
        "expansion": 1.5,
        "dropout": 0.25,
        "relative_places": False,
        "relative_time": True,
    },
}
SMALL = ("model.embedding_dim=32", "train.batch_size=600", "train.epochs=12", "train.learning_rate=0.01")


class TestTransformer(PersonalContract):
    model = "transformer"
    overrides = (*SMALL, "train.schedule.warmup_steps=20")
    non_default = NON_DEFAULT
    signatures = PersonalContract.signatures | {"user_embedding", "item_embedding"}
    favourite_genre_share, favourite_genre_gain = 0.5, 3.5

    def test_the_stated_table_shapes_are_those_of_the_tables(self, trained):
        model, data, config = trained
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        stated = {shape.name: (shape.rows, shape.dim) for shape in shapes}
        tables = {"items": model._items.table, "item_bias": model._items.bias, "item_vectors": model._vectors}
        assert stated == {name: tuple(table.shape) for name, table in tables.items()}

    def test_one_more_item_in_the_history_of_the_request_changes_the_answer_at_once(self, exported, log):
        """The served model knows the history that the request brings: nothing is trained in between."""
        items = list(log.items)[:6]
        before = self.recommend(exported, {"user_id": tf.constant(["nobody"]), "history": tf.constant([items[:3]])})
        after = self.recommend(exported, {"user_id": tf.constant(["nobody"]), "history": tf.constant([items[:4]])})
        again = self.recommend(exported, {"user_id": tf.constant(["someone"]), "history": tf.constant([items[:3]])})
        assert (before["ids"] != after["ids"]).any()
        assert items[3].encode() not in after["ids"]
        np.testing.assert_array_equal(before["ids"], again["ids"])  # without a known user the session is all


TAKEN = [[0, 1, 2, 1, 4], [3, 1], [5], [2, 0, 5, 3]]


def model_of(cls=Transformer, config=TransformerConfig, history=6, **choices):
    """A model without dropout whose every weight is drawn anew, so that none is 0."""
    encoder = {"dropout": 0.0, **choices.pop("encoder", {})}
    model = cls(config(**{"embedding_dim": 8, "encoder": encoder, **choices}), inputs_of(TAKEN, 7, history))
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.4, variable.shape))
    model.refresh()
    return model


@pytest.mark.parametrize(("layers", "heads", "relative_places"), [(1, 1, False), (2, 2, False), (2, 2, True)])
def test_scores_are_those_of_plain_loops_over_the_history(layers, heads, relative_places):
    model = model_of(encoder={"layers": layers, "heads": heads, "relative_places": relative_places})
    histories = [[0, 1, 2], [3], [5, 4, 3, 2, 1, 0]]
    found = model.scores(request([0, 1, None], histories)).numpy()
    for row, items in enumerate(histories):
        expected = logits_by_hand(model, outputs_by_hand(model, item_steps_by_hand(model, items))[-1])
        np.testing.assert_allclose(found[row, :6], expected[:6], rtol=1e-4, atol=1e-4)
        assert found[row, 6] < found[row, :6].min()  # nobody took it


def test_of_a_longer_history_the_latest_events_are_read():
    model = model_of(length=3)
    found = model.scores(request([0, 0], [[5, 4, 0, 1, 2], [0, 1, 2]])).numpy()
    np.testing.assert_array_equal(found[0], found[1])


def test_of_whom_nothing_is_known_gets_the_popular_items():
    model = model_of()
    scores = model.scores(request([None], [[]])).numpy()[0]
    counts = np.bincount([item for row in TAKEN for item in row], minlength=7)
    assert sorted(range(7), key=lambda i: (-counts[i], i)) == sorted(range(7), key=lambda i: (-scores[i], i))


def test_unknown_items_of_a_history_are_steps_of_their_own():
    model = model_of()
    features = {"user_id": tf.constant([1, 1]), "history": tf.constant([[2, 1, 3], [2, 3, 0]])}
    one, other = model.scores(features).numpy()
    assert np.isfinite(one).all()
    assert not np.allclose(one, other)


@pytest.mark.parametrize("relative_places", [False, True])
def test_the_loss_is_the_cross_entropy_of_every_next_item_one_sequence_at_a_time(relative_places):
    model = model_of(encoder={"relative_places": relative_places})
    losses = []
    for sequence in (s for row in PACKED for s in row):
        outputs = outputs_by_hand(model, item_steps_by_hand(model, sequence[:-1]))
        for output, following in zip(outputs, sequence[1:], strict=True):
            logits = logits_by_hand(model, output)
            losses.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[following])
    assert float(model.compute_loss(windows(*PACKED))) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("compute_type", [tf.float32, tf.bfloat16])
def test_items_of_the_past_can_be_left_out_of_the_softmax_but_for_the_true_one(compute_type):
    model = model_of(loss={"kind": "softmax", "exclude_seen": True})
    model.compute_type = compute_type
    losses, others = [], set()
    for sequence in (s for row in PACKED for s in row):
        outputs = outputs_by_hand(model, item_steps_by_hand(model, sequence[:-1]))
        for step, (output, following) in enumerate(zip(outputs, sequence[1:], strict=True)):
            logits = logits_by_hand(model, output)
            seen = set(sequence[: step + 1]) - {following}
            others.add(len(sequence[: step + 1]) - len(seen))
            among = [logit for item, logit in enumerate(logits) if item not in seen]
            losses.append(math.log(sum(math.exp(logit) for logit in among)) - logits[following])
    assert others == {0, 1}  # an item that comes again is in the sum
    found = float(model.compute_loss(windows(*PACKED), training=True))
    assert found == pytest.approx(np.mean(losses), rel=1e-5 if compute_type == tf.float32 else 0.02)


@pytest.mark.parametrize("relative_places", [False, True])
def test_what_stands_beside_a_sequence_in_its_row_changes_nothing(relative_places):
    assert_neighbours_change_nothing(model_of(encoder={"relative_places": relative_places}))


def test_a_later_item_never_changes_an_earlier_output():
    assert_no_look_ahead(model_of())


LOSSES = [
    {"kind": "softmax"},
    {"kind": "sampled_softmax", "num_negatives": 40},
    {"kind": "gbce", "num_negatives": 5, "alpha": 0.5},
    {"kind": "bpr_max", "num_negatives": 40, "penalty": 0.01},
    {"kind": "top1_max", "num_negatives": 40},
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss["kind"])
def test_every_loss_learns_what_comes_next(loss):
    assert next_item_share(Transformer, TransformerConfig, loss=loss, encoder={"layers": 1, "dropout": 0.1}) == 1


@pytest.mark.parametrize(("items", "kind"), [(20_000, "softmax"), (20_001, "sampled_softmax")])
def test_unless_told_the_softmax_is_over_drawn_items_where_the_catalogue_is_large(items, kind):
    assert NextItemLoss(None, np.ones(items, np.int64)).kind == kind


def test_the_draws_of_a_step_follow_from_seed_and_step():
    batch = windows(*PACKED)

    def loss(seed, step):
        config = TransformerConfig(embedding_dim=8, encoder={"dropout": 0.5})
        model = Transformer(config, inputs_of(TAKEN, 7, 6), seed=1)
        model.seed = seed
        model.compile(optimizer=tf.keras.optimizers.SGD())
        model.optimizer.iterations.assign(step)
        return float(model.compute_loss(batch, training=True))

    assert loss(1, 5) == loss(1, 5)
    assert len({loss(1, 5), loss(1, 6), loss(2, 5)}) == 3


def test_one_key_swaps_the_encoder_and_one_alone_can_be_set():
    assert TransformerConfig(encoder={"layers": 3}).encoder.kind == "attention"
    for kind in ("gru", "hstu"):
        assert TransformerConfig(encoder={"kind": kind}).encoder.kind == kind
        assert GRUConfig(encoder={"kind": kind, "layers": 3}).encoder.layers == 3
    assert GRUConfig(encoder={"layers": 3}).encoder.kind == "gru"


@pytest.mark.parametrize(
    ("choices", "history", "message"),
    [
        ({"encoder": {"heads": 3}}, 6, r"^model.encoder.heads=3: must divide model.embedding_dim=8[^\n]*$"),
        ({}, None, r"^model: reads the user's history, and the dataset has none;[^\n]*$"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(choices, history, message):
    with pytest.raises(ConfigError, match=message):
        model_of(history=history, **choices)


@pytest.mark.slow
def test_loss_and_gradients_are_those_of_one_device_on_two_replicas():
    """In a process of its own: logical devices are set up before TensorFlow starts."""
    script = Path(__file__).parent / "sequence_replicas_process.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("same: ")]) == 4, done.stdout
