"""What an export goes through before a server may see it, and that the same job gives the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from tests.trainer.planted_world import DEEPFM, TWO_TOWER_WITH_FEATURES
from tfrec.errors import ArtifactError
from tfrec.export.meanings import of_inputs
from trainer.export import export_job, main
from trainer.model import load_model
from trainer.release.cascade import export_cascade
from trainer.release.fresh_process import require_same_in_fresh_process
from trainer.release.parity import check_parity
from trainer.release.warm_up import WARM_UP_FILE, WarmUp, answers


@pytest.fixture(scope="module")
def job(world):
    return world.job("two_tower", *TWO_TOWER_WITH_FEATURES)


@pytest.fixture(scope="module")
def version(job, tmp_path_factory):
    """Exported with a filter and quick checks."""
    return export_job(job, str(tmp_path_factory.mktemp("checked")), ["genres"], "quick")


@pytest.fixture(scope="module")
def card(version):
    return json.loads((version / "model_card.json").read_text())


def requests_of(version):
    records = tf.data.TFRecordDataset(str(version / WARM_UP_FILE)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    return [log.predict_log.request for log in logs]


def signatures_of(version):
    content = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    found = dict(content.meta_graphs[0].signature_def)
    found.pop("__saved_model_init_op", None)
    return found


def test_every_signature_is_warmed_up_with_every_input_that_it_has(version):
    requests, signatures = requests_of(version), signatures_of(version)
    assert {request.model_spec.signature_name for request in requests} == set(signatures)
    assert {request.model_spec.name for request in requests} == {"two_tower"}
    for request in requests:
        assert set(request.inputs) == set(signatures[request.model_spec.signature_name].inputs)


def test_warm_up_requests_are_answered_and_take_the_branches_of_filters_and_lists(version):
    loaded = tf.saved_model.load(str(version))
    lists = {}
    for request in requests_of(version):
        name = request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        found = answers(loaded, WarmUp(name, inputs))
        assert all(len(value) == len(next(iter(inputs.values()))) for value in found.values())
        if name == "recommend":
            lists[len(found["ids"])] = inputs
    assert set(lists) == {1, 2}
    assert all((lists[1][name] == b"").all() for name in ("exclude_ids", "allow_ids", "filter_genres"))
    assert all((lists[2][name] != b"").any() for name in ("exclude_ids", "allow_ids", "filter_genres", "history"))


def test_the_card_says_what_was_checked_and_what_it_takes(version, card):
    assert card["checks"] == {
        "kind": "quick",
        "warm_up_requests": 2 * len(card["signatures"]),
        "parity_rows": 32,
        "fresh_process": False,
    }
    sizes = {path.name: path.stat().st_size for path in version.iterdir() if path.is_file()}
    assert card["size"]["by_part"]["saved_model.pb"] == sizes["saved_model.pb"]
    whole = sum(p.stat().st_size for p in version.rglob("*") if p.is_file()) - sizes["model_card.json"]
    assert card["size"]["bytes"] == sum(card["size"]["by_part"].values()) == whole
    taken = [one["bytes"] for one in card["size"]["largest_variables"]]
    assert taken == sorted(taken, reverse=True)
    assert taken[0] > 0


def test_the_card_says_of_each_signature_what_may_be_left_out(card):
    recommend = card["signatures"]["recommend"]
    assert recommend["inputs"]["filter_genres"] == "string [None, None]"
    assert set(recommend["inputs"]) - set(recommend["optional"]) == {"user_id"}
    assert recommend["outputs"] == {"ids": "string [None, None]", "scores": "float32 [None, None]"}
    assert card["filters"] == [{"feature": "genres", "kind": "any_of"}]


def test_the_card_says_of_every_input_and_output_what_it_means(card):
    for name, signature in card["signatures"].items():
        meaning = signature["meaning"]
        assert set(meaning["inputs"]) == set(signature["inputs"]), name
        assert set(meaning["outputs"]) == set(signature["outputs"]), name
    recommend = card["signatures"]["recommend"]["meaning"]
    assert recommend["inputs"]["filter_genres"] == "only items with one of these values of genres"
    assert recommend["inputs"]["user_id"] == "raw feature, as the log has it"
    assert recommend["inputs"]["k"] == "items wanted for each row"
    assert of_inputs(["filter_min_age_at_most"]) == {"filter_min_age_at_most": "only items whose min_age is not above"}


def test_a_model_that_has_other_weights_than_its_export_is_not_the_same(job, version):
    model, data, _ = load_model(job)
    loaded = tf.saved_model.load(str(version))
    assert check_parity(loaded, model, data) == 32
    for variable in model.trainable_variables:
        variable.assign(variable * 1.1)
    model.refresh()
    with pytest.raises(ArtifactError, match=r"differ in \d+ of \d+ scores, first .* against .*; run the"):
        check_parity(loaded, model, data)


def test_an_encoded_record_that_the_graph_would_encode_otherwise_fails_a_ranking_model(world):
    job = world.job("deepfm", *DEEPFM)
    model, data, _ = load_model(job)
    loaded = tf.saved_model.load(str(job.export("deepfm") / "1"))
    assert check_parity(loaded, model, data) == 32
    genres = data.catalogue.features["genres"]
    genres[:] = np.where(genres > 1, 3 + (genres - 1) % 5, genres)  # other tokens than the raw values are
    with pytest.raises(ArtifactError, match=r"differ in \d+ of 32 scores"):
        check_parity(loaded, model, data)


def files_of(version):
    return {str(path.relative_to(version)): path.read_bytes() for path in version.rglob("*") if path.is_file()}


def test_the_same_job_exports_the_same_bytes(job, version, tmp_path):
    again = export_job(job, str(tmp_path), ["genres"], "quick")
    one, other = files_of(version), files_of(again)
    assert set(one) == set(other)
    assert "fingerprint.pb" in one
    assert [name for name in one if one[name] != other[name]] == []


EXPORTING = """
import sys
from trainer.export import main
main(sys.argv[1:])
"""


def exported_by_a_process(output, hash_seed, *flags):
    """A version that a process of its own has written; its iteration over sets and dicts of bytes is another one."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    command = [sys.executable, "-c", EXPORTING, *flags, "--output", str(output), "--checks", "none"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**clean, "PYTHONHASHSEED": str(hash_seed)}
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["retrieval with an index", "ranking", "cascade"])
def test_processes_export_the_same_bytes(world, job, tmp_path, kind):
    ranker = world.job("deepfm", *DEEPFM)
    index = ["--filter", "genres", "--index", "ivf", "--recall-k", "20", "--recall-at-least", "0.5"]
    flags = {
        "retrieval with an index": ["--job-dir", str(job.path), *index],
        "ranking": ["--job-dir", str(ranker.path)],
        "cascade": ["--job-dir", str(job.path), "--ranker", str(ranker.path), *index, "--set", "candidates=20"]
        + ["--set", "exploration={kind: epsilon}", "--set", "diversity={kind: mmr}"],
    }[kind]
    versions = [exported_by_a_process(tmp_path / str(seed), seed, *flags) for seed in (1, 2)]
    one, other = map(files_of, versions)
    assert set(one) == set(other)
    assert {"saved_model.pb", "fingerprint.pb", "model_card.json"} < set(one)
    assert [name for name in one if one[name] != other[name]] == []


def test_a_version_that_fails_a_check_is_never_there(job, tmp_path, monkeypatch):
    def refuse(*_):
        raise ArtifactError("not the same")

    monkeypatch.setattr("trainer.export.check_parity", refuse)
    with pytest.raises(ArtifactError, match="not the same"):
        export_job(job, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_all_checks_ask_a_process_with_tensorflow_alone(world, job, tmp_path, capsys):
    main(["--job-dir", str(job.path), "--output", str(tmp_path / "single")])
    single = Path(capsys.readouterr().out.strip())
    assert json.loads((single / "model_card.json").read_text())["checks"]["fresh_process"]
    ranker = world.job("deepfm", *DEEPFM)
    cascade = export_cascade([job], ranker, str(tmp_path / "cascade"), checks="all")
    assert json.loads((cascade / "model_card.json").read_text())["checks"] == {
        "kind": "all",
        "warm_up_requests": 10,
        "parity_rows": 32,
        "fresh_process": True,
    }


@pytest.mark.slow
def test_an_answer_that_needs_more_than_the_export_is_refused(version, tmp_path):
    request = WarmUp("items", {"item_ids": np.array([b"i0005"], object)})
    right = answers(tf.saved_model.load(str(version)), request)
    require_same_in_fresh_process(version, [request], [right])
    wrong = {**right, "title": np.array([b"Another"], object)}
    with pytest.raises(ArtifactError, match="items answers another 'title' in a fresh process"):
        require_same_in_fresh_process(version, [request], [wrong])

    class Python(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def call(self, x):
            return {"y": tf.py_function(lambda v: 2 * v, [x], tf.float32)}

    module = Python()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.call})
    asked = WarmUp("serving_default", {"x": np.float32([1.0])})
    with pytest.raises(ArtifactError, match="does not work with TensorFlow alone"):
        require_same_in_fresh_process(tmp_path / "1", [asked], [{"y": np.float32([2.0])}])
