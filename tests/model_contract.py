"""What every model has to keep, whatever it answers: tests/contracts.py has the contracts that models inherit.

A subclass sets `model` (its name in the registry), `overrides` (of its config, for the planted world of 300 users) and
`non_default` (a value other than the default for every key of its config).
"""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
import yaml

from tests.trainer.raw_rows import RawLog
from tfrec.dataset.directory import RAW_PREFIX
from tfrec.dataset.records import read_part
from tfrec.feature_transform import FeatureTransform, raw_specs
from tfrec.models.learning import FittedModel, GradientModel
from tfrec.models.registry import model_class
from trainer.config import TrainConfig, load_job_config, resolve_config
from trainer.evaluation.config import EvaluationConfig
from trainer.model import build_model, load_model

TRAIN_NON_DEFAULT = {
    "epochs": 7,
    "steps": 99,
    "batch_size": 33,
    "optimizer": "sgd",
    "learning_rate": 0.25,
    "beta_2": 0.75,
    "wide_optimizer": {"name": "adagrad", "learning_rate": 0.125, "l1": 0.5, "l2": 0.75},
    "schedule": {"kind": "cosine", "warmup_steps": 3, "decay_steps": 50, "end": 0.5},
    "clip_norm": 2.5,
    "precision": "bfloat16",
    "xla": True,
    "input": "stream",
    "patience": 2,
    "average_decay": 0.5,
    "monitor": "recall_at_20",
    "projector": True,
    "checkpoint_minutes": 1.5,
}
EVALUATION_NON_DEFAULT = {
    "protocol": "topn",
    "split": "leave_one_out",
    "ks": (3, 7),
    "exclude": "nothing",
    "negatives": {"count": 5, "kind": "popularity", "seed": 4, "file": "given.tsv", "ties": "relevant_first"},
    "windows": 2,
    "fold_in": 0.5,
    "users": {"count": 11, "seed": 3},
    "auc": False,
    "gauc_by": "request",
    "baselines": ("popularity",),
    "baseline_trials": 3,
    "baselines_from": "earlier",
    "batch_size": 64,
}


class ModelContract:
    model = ""
    overrides = ()
    non_default = {}

    # --- What the tests share: one trained and exported job per class ---

    @pytest.fixture(scope="class")
    def job(self, world):
        return world.job(self.model, *self.overrides)

    @pytest.fixture(scope="class")
    def trained(self, job):
        """(model, data, config)."""
        return load_model(job)

    @pytest.fixture(scope="class")
    def exported(self, job):
        versions = sorted(job.export(self.model).iterdir())
        assert [version.name for version in versions] == ["1"]
        return tf.saved_model.load(str(versions[0]))

    @pytest.fixture(scope="class")
    def log(self, world):
        return RawLog(world.logs)

    def answer(self, model, features):
        """What the model says on encoded features, one row per user or event."""
        raise NotImplementedError

    def encoded_rows(self, model, data, split="test"):
        """(tensors that the model reads, user ids, item ids), row by row."""
        records = data.split(split)
        user_ids = read_part(data.dataset, "users")[RAW_PREFIX + data.schema.user_id][records["user_index"]]
        item_ids = data.catalogue.ids[records["item_index"]]
        tensors = {name: tf.constant(records[name]) for name in model.required_features}
        return tensors, [i.decode() for i in user_ids], [i.decode() for i in item_ids]

    # --- The contract ---

    def test_a_config_of_other_values_survives_its_file(self, tmp_path):
        fields = model_class(self.model).Config.model_fields
        assert set(self.non_default) == set(fields), "give every key of the config a value other than its default"
        for key, value in self.non_default.items():
            assert value != fields[key].default, f"{key}: {value!r} is the default"
        assert set(TRAIN_NON_DEFAULT) == set(TrainConfig.model_fields)
        for key, value in TRAIN_NON_DEFAULT.items():
            brought = model_class(self.model).training_defaults.get(key, TrainConfig.model_fields[key].default)
            assert value != brought
        assert set(EVALUATION_NON_DEFAULT) == set(EvaluationConfig.model_fields)
        for key, value in EVALUATION_NON_DEFAULT.items():
            assert value != EvaluationConfig.model_fields[key].default, key
        path = tmp_path / "given.yaml"
        evaluation = json.loads(json.dumps(EVALUATION_NON_DEFAULT))
        sections = {"model": self.non_default, "train": TRAIN_NON_DEFAULT, "evaluation": evaluation}
        path.write_text(yaml.safe_dump(sections))
        identity = {"dataset": "/somewhere", "dataset_fingerprint": "f00", "seed": 9}
        config = resolve_config(self.model, str(path), [], **identity)
        config.save(tmp_path / "config.yaml")
        loaded = load_job_config(tmp_path / "config.yaml")
        assert loaded == config
        assert type(loaded.model) is model_class(self.model).Config
        as_given = {key: tuple(v) if isinstance(v, list) else v for key, v in self.non_default.items()}
        assert loaded.model.model_dump() == as_given
        assert loaded.train.model_dump() == TRAIN_NON_DEFAULT
        assert loaded.evaluation.model_dump() == EVALUATION_NON_DEFAULT
        assert (loaded.dataset, loaded.dataset_fingerprint, loaded.seed) == ("/somewhere", "f00", 9)

    def test_the_same_seed_gives_the_same_weights(self, world):
        def weights(seed):
            data = world.data()
            model = build_model(world.config(self.model, *self.overrides, seed=seed), data)
            if isinstance(model, FittedModel):
                model.fit(data.model_inputs)
            return [variable.numpy() for variable in model.state]

        one, again, other = weights(1), weights(1), weights(2)
        assert len(one) > 0
        assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
        if issubclass(model_class(self.model), GradientModel):
            assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    def test_another_process_gets_the_same_metrics(self, job, evaluated_apart):
        found, written = evaluated_apart(job.path), job.read_metrics()
        assert set(found) == set(written)
        assert found.pop("protocol") == written["protocol"]
        for key, value in found.items():
            if key.startswith("cost/") and key not in ("cost/train_seconds", "cost/model_bytes"):
                assert value > 0, key  # measured anew
            else:
                assert value == pytest.approx(written[key], rel=1e-6, abs=1e-9, nan_ok=True), key

    def test_a_batch_gives_what_its_rows_give_one_by_one(self, trained):
        model, data, _ = trained
        tensors = self.encoded_rows(model, data)[0]
        whole = self.answer(model, {name: value[:24] for name, value in tensors.items()})
        single = [
            self.answer(model, {name: value[row : row + 1] for name, value in tensors.items()})[0] for row in range(24)
        ]
        np.testing.assert_allclose(whole, single, rtol=1e-5, atol=1e-6)

    def test_unknown_ids_and_missing_values_give_finite_answers(self, trained):
        model, data, _ = trained
        transform = FeatureTransform(data.schema, data.dataset.transform)
        raw = {}
        for name, spec in raw_specs({n: data.schema.features[n] for n in model.required_features}).items():
            values = [math.nan, 1e9] if spec.dtype.is_floating else ["", f"never seen {name}"]
            raw[name] = tf.constant([[v, v] for v in values] if spec.shape.rank == 2 else values, spec.dtype)
        assert np.isfinite(self.answer(model, transform(raw))).all()

    def test_every_variable_that_answers_is_in_the_state(self, trained, job):
        """Export saves the state and nothing else: restore it into a fresh model and compare."""
        model, data, config = trained
        fresh = build_model(config.model_copy(update={"seed": 77}), data)
        assert len(fresh.state) == len(model.state)
        for target, source in zip(fresh.state, model.state, strict=True):
            target.assign(source)
        tensors = self.encoded_rows(model, data)[0]
        np.testing.assert_allclose(self.answer(fresh, tensors), self.answer(model, tensors), rtol=1e-6)

    def test_the_model_card_says_what_is_served(self, job, trained, exported):
        _, data, config = trained
        card = json.loads((job.export(self.model) / "1" / "model_card.json").read_text())
        assert card["model_name"] == self.model
        assert card["task"] == model_class(self.model).task
        assert card["schema_fingerprint"] == data.schema.fingerprint
        assert (card["dataset"], card["dataset_fingerprint"]) == ("planted", data.dataset.fingerprint)
        assert (card["num_users"], card["num_items"]) == (301, 121)
        assert card["config"]["seed"] == 1
        assert card["config"]["model"] == json.loads(config.model.model_dump_json())
        assert card["metrics"] == {k: v for k, v in job.read_metrics().items() if k != "protocol"}
        assert set(card["versions"]) >= {"tfrec", "tensorflow"}
        assert set(card["signatures"]) == set(exported.signatures)
        for name, signature in card["signatures"].items():
            assert set(signature["inputs"]) == set(exported.signatures[name].structured_input_signature[1])
            assert set(signature["outputs"]) == set(exported.signatures[name].structured_outputs)
