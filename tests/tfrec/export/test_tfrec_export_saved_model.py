"""The files of an export: stock TensorFlow, versions, defaults, and nothing half written."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfrec.export import ModelCard, next_version, save_version
from trainer.export import export_job

# A process in which the libraries that built the model cannot be imported. TensorFlow itself looks for `keras`.
PLAIN_TENSORFLOW = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"tfrec", "trainer", "transforms", "serving", "tensorflow_recommenders", "tf_keras"}:
            raise AssertionError("imported " + name)

sys.meta_path.insert(0, Refuse())
import json
import numpy as np
import tensorflow as tf
"""
LOAD_2 = """
def load(path):
    saved = tf.saved_model.load(path)
    return lambda name, inputs: {key: value.numpy() for key, value in saved.signatures[name](**inputs).items()}
"""
LOAD_1 = """
def load(path):
    session = tf.compat.v1.Session(graph=tf.Graph())
    meta = tf.compat.v1.saved_model.load(session, ["serve"], path)
    def ask(name, inputs):
        signature = meta.signature_def[name]
        feed = {signature.inputs[key].name: value.numpy() for key, value in inputs.items()}
        return session.run({key: info.name for key, info in signature.outputs.items()}, feed)
    return ask
"""
ASK = """
of_user = {
    "country": tf.constant([""]), "age": tf.constant([np.nan], tf.float32), "country_hash": tf.constant([""]),
    "age_in_years": tf.constant([np.nan], tf.float32),
}
retrieval = load(sys.argv[1])("recommend", {
    "user_id": tf.constant(["u00003", "nobody"]), "history": tf.constant([[""]]), "k": tf.constant([5]),
    "exclude_ids": tf.constant([[""]]), "allow_ids": tf.constant([[""]]), "exclude_seen": tf.constant([True]),
    **of_user,
})
ranking = load(sys.argv[2])("rank", {
    "user_id": tf.constant(["u00003"]), "candidate_ids": tf.constant([["i0001", "i0002", "i0003"]]), **of_user,
})
print(json.dumps([
    {"ids": [[i.decode() for i in row] for row in found["ids"]], "scores": found["scores"].tolist()}
    for found in (retrieval, ranking)
]))
"""


def in_plain_tensorflow(paths, script, load):
    script.write_text(PLAIN_TENSORFLOW + load + ASK)
    plain = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, str(script), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=script.parent, env=plain)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("load", [LOAD_2, LOAD_1], ids=["tf.saved_model.load", "compat.v1 loader"])
def test_exports_answer_in_a_process_with_tensorflow_alone(retrieval, ranking, tmp_path, load):
    answers = in_plain_tensorflow([retrieval.path, ranking.path], tmp_path / "script.py", load)
    expected = (
        retrieval.ask("recommend", user_id=["u00003", "nobody"], k=[5]),
        ranking.ask("rank", user_id=["u00003"], candidate_ids=[["i0001", "i0002", "i0003"]]),
    )
    for found, right in zip(answers, expected, strict=True):
        assert found["ids"] == [[i.decode() for i in row] for row in right["ids"]]
        np.testing.assert_allclose(found["scores"], right["scores"], rtol=1e-5)


def signature_defs(path):
    content = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    return content.meta_graphs[0].signature_def


def defaults_of(definition):
    return {name: tf.make_ndarray(value) for name, value in definition.defaults.items()}


def test_every_input_but_the_user_may_be_left_out_of_recommend(retrieval):
    definition = signature_defs(retrieval.path)["recommend"]
    found = defaults_of(definition)
    assert set(definition.inputs) - set(found) == {"user_id"}
    assert {name: value.shape[0] for name, value in found.items()} == dict.fromkeys(found, 1)
    assert {name: found[name].tolist() for name in ("k", "exclude_ids", "allow_ids", "exclude_seen")} == {
        "k": [10],
        "exclude_ids": [[b""]],
        "allow_ids": [[b""]],
        "exclude_seen": [True],
    }
    assert np.isnan(found["age"]).all()
    assert found["country"].tolist() == [b""]


def test_ids_and_candidates_are_the_only_inputs_that_ranking_requires(ranking):
    definitions = signature_defs(ranking.path)
    required = {
        name: set(definitions[name].inputs) - set(defaults_of(definitions[name]))
        for name in ("serving_default", "rank", "examples", "items")
    }
    assert required == {
        "serving_default": {"user_id", "item_id"},
        "rank": {"user_id", "candidate_ids"},
        "examples": {"examples"},
        "items": {"item_ids"},
    }
    for name in ("serving_default", "rank"):
        assert {value.shape[0] for value in defaults_of(definitions[name]).values()} == {1}


@pytest.mark.parametrize("kind", ["retrieval", "ranking"])
def test_the_batch_is_the_first_dimension_of_every_input(kind, request):
    for definition in signature_defs(request.getfixturevalue(kind).path).values():
        for name, info in definition.inputs.items():
            assert info.tensor_shape.dim[0].size == -1, name


def test_no_op_of_an_export_is_custom_or_python(retrieval, ranking):
    for served in (retrieval, ranking):
        graph = saved_model_pb2.SavedModel.FromString((served.path / "saved_model.pb").read_bytes()).meta_graphs[0]
        ops = {node.op for function in graph.graph_def.library.function for node in function.node_def}
        assert "PyFunc" not in ops
        assert "EagerPyFunc" not in ops
        assert ops <= set(tf.raw_ops.__dict__) | {name for name in ops if name.startswith("__inference")}


def test_a_second_export_is_the_next_version(retrieval, tmp_path):
    base = tmp_path / "models"
    paths = [export_job(retrieval.job, str(base), checks="none") for _ in range(2)]
    assert paths == [base / "1", base / "2"]
    assert sorted(entry.name for entry in base.iterdir()) == ["1", "2"]


def test_versions_count_up_by_number_and_pass_over_gaps_and_other_names(tmp_path):
    assert next_version(tmp_path) == 1
    for name in ("2", "10", "9", "latest", ".3.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "99").write_text("a file")
    assert next_version(tmp_path) == 11


class Doubler(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def double(self, x):
        return {"y": 2 * x}


def card(**changes):
    values = {
        "model_name": "doubler",
        "task": "retrieval",
        "schema_fingerprint": "a",
        "dataset": "d",
        "dataset_fingerprint": "b",
        "config": {},
        "metrics": {"test/x": 0.5},
        "num_users": 1,
        "num_items": 2,
    }
    return ModelCard(**{**values, **changes})


def test_the_card_describes_inputs_and_outputs(tmp_path):
    module = Doubler()
    path = save_version(module, {"serving_default": module.double}, tmp_path, card())
    content = json.loads((path / "model_card.json").read_text())
    assert content["signatures"] == {
        "serving_default": {
            "inputs": {"x": "float32 [None]"},
            "optional": [],
            "outputs": {"y": "float32 [None]"},
            "meaning": {"inputs": {"x": "raw feature, as the log has it"}, "outputs": {"y": "y of the item or row"}},
        }
    }
    assert content["metrics"] == {"test/x": 0.5}


def test_an_export_that_fails_leaves_no_version_behind(tmp_path):
    module = Doubler()
    save_version(module, {"serving_default": module.double}, tmp_path, card())
    untracked = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def broken(x):
        return {"y": x * untracked}  # a variable that the module does not hold

    with pytest.raises(AssertionError, match="untracked"):
        save_version(module, {"serving_default": broken}, tmp_path, card())
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
