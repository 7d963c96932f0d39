"""What a job keeps for later ones, and how it is read back."""

import numpy as np

from tests.trainer.grown_world import earlier_job, tokens_of
from trainer.job import JobDirectory
from trainer.model import build_model, load_model
from trainer.warm_start.stored_weights import StoredWeights, variable_paths
from trainer.warm_start.vocabularies import KeptVocabulary, keep_vocabulary, read_vocabulary

FEATURES = "model.features=[user_id, item_id, history, age, country_hash, genres]"


def test_a_job_keeps_its_tokens_its_encodings_and_its_first_rows(world, tmp_path):
    config, data = world.config("deepfm", FEATURES, "model.embedding_dim=4"), world.data()
    model, job = build_model(config, data), JobDirectory(tmp_path / "job")
    keep_vocabulary(job, data.dataset, model)
    kept = KeptVocabulary.read(job)
    for feature in ("user_id", "item_id", "genres"):
        assert kept.tokens(feature).to_pylist() == tokens_of(data, feature)
    assert sorted(path.name for path in kept.path.glob("*.parquet")) == [
        "genres.parquet",
        "item_id.parquet",
        "user_id.parquet",
    ]
    encodings = kept.layout.encodings
    assert (encodings["history"].kind, encodings["history"].source) == ("vocabulary", "item_id")
    assert (encodings["country_hash"].kind, encodings["country_hash"].hash_buckets) == ("hash", 50)
    boundaries = data.dataset.statistics["features"]["age"]["encoding"]["boundaries"]
    assert encodings["age"].boundaries == tuple(boundaries)
    paths = variable_paths(model)
    for table in kept.layout.tables:
        assert paths[table.variable].shape[0] >= table.first_row + table.rows
    first = model.embedding.plan.first_row["item_id"]
    rows = model.embedding._tables["embedding"].numpy()[first : first + 2]
    assert np.array_equal(kept.starts["embedding/_tables/embedding|item_id"], rows)


def test_what_an_unfinished_job_of_another_config_kept_is_replaced(world, tmp_path):
    data, job = world.data(), JobDirectory(tmp_path / "job")
    for features in ("[user_id, genres]", "[item_id]"):
        config = world.config("deepfm", f"model.features={features}")
        keep_vocabulary(job, data.dataset, build_model(config, data))
    kept = KeptVocabulary.read(job)
    assert list(kept.layout.encodings) == ["item_id"]
    assert [path.name for path in kept.path.glob("*.parquet")] == ["item_id.parquet"]
    assert [path.name for path in job.path.iterdir()] == ["vocabulary"]


def test_a_vocabulary_is_read_token_by_token(tmp_path, world):
    class Directory:
        path = tmp_path

    (tmp_path / "vocabulary").mkdir()
    for content in (b"", b"a\n", b'one\ntwo words\n\xc3\xa9t\xc3\xa9\n\xff\xfe\n"q,uote"\r\nlast\n', b"no end"):
        (tmp_path / "vocabulary" / "f.txt").write_bytes(content)
        expected = content.split(b"\n")
        expected = expected[:-1] if expected[-1] == b"" else expected
        assert read_vocabulary(Directory, "f").to_pylist() == expected


def test_stored_weights_are_those_of_the_model(world):
    job = earlier_job(world, "deepfm", FEATURES)
    model, _, _ = load_model(job)
    stored = StoredWeights(job)
    paths = variable_paths(model)
    assert len(paths) >= len(model.trainable_variables)
    for path, variable in paths.items():
        assert stored.shape(path) == tuple(variable.shape)
        assert np.array_equal(stored.values(path), variable.numpy())
    assert stored.shape("embedding/elsewhere") is None
