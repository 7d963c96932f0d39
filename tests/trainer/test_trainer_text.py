"""Titles as a feature of a model that is trained, exported and asked."""

import io

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from tests.tfrec.test_tfrec_text_tokens import plain_words
from tests.transforms.text_log import TEXT_YAML, write_text_log
from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from trainer.config import resolve_config
from trainer.export import export_job
from trainer.job import JobDirectory
from trainer.run import run_job
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The dataset and the titles of its items."""
    root = tmp_path_factory.mktemp("texts")
    (root / "in").mkdir()
    _, _, titles = write_text_log(root / "in")
    write_dataset(parse_config(TEXT_YAML, DatasetConfig), str(root / "in"), str(root / "out"))
    return DatasetDirectory(root / "out"), titles


def trained(dataset, model, path, overrides):
    """The SavedModel after one epoch."""
    config = resolve_config(
        model,
        None,
        ["train.epochs=1", "train.batch_size=64", *overrides],
        dataset=str(dataset.path),
        dataset_fingerprint=dataset.fingerprint,
        seed=1,
    )
    job = JobDirectory(path)
    run_job(config, job, Console(file=io.StringIO()))
    return tf.saved_model.load(str(export_job(job)))


def ask(saved, signature, **given):
    """Call a signature; what is not given is missing, as the defaults of the signature are."""
    function = saved.signatures[signature]
    specs = function.structured_input_signature[1]
    inputs = {name: tf.constant([""] if spec.shape.rank == 1 else [[""]]) for name, spec in specs.items()}
    return function(**(inputs | {name: tf.constant(value) for name, value in given.items()}))


def test_titles_are_a_feature_of_the_item_tower(shop, tmp_path):
    dataset, titles = shop
    features = ["model.item_features=[item, title]", "model.user_features=[about, query]"]
    saved = trained(dataset, "two_tower", tmp_path / "job", features)
    items = list(titles)

    def embed(**raw):
        return ask(saved, "item_embedding", **raw)["embeddings"].numpy()

    known = embed(item=items)
    given = embed(item=items, title=[titles[item] or "?" for item in items])
    # An item's own title, given or looked up, is the same; another one is not.
    same = [bool(plain_words(titles[item])) for item in items]
    np.testing.assert_allclose(known[same], given[same], rtol=1e-5)
    assert np.abs(embed(item=items, title=["lamp ever"] * len(items)) - known).max() > 1e-4
    shown = ask(saved, "items", item_ids=items)
    assert [text.decode() for text in shown["title"].numpy()] == list(titles.values())
    found = ask(
        saved,
        "recommend",
        user=["u1", "nobody"],
        query=["lamp", ""],
        k=np.int32([3]),
        exclude_seen=[False],
    )
    assert found["ids"].shape == (2, 3)


def test_titles_are_a_field_of_deepfm(shop, tmp_path):
    dataset, titles = shop
    saved = trained(dataset, "deepfm", tmp_path / "job", [])
    assert {"about", "mood", "title", "blurb", "query"} <= set(
        saved.signatures["serving_default"].structured_input_signature[1]
    )

    def score(title):
        return ask(saved, "serving_default", user=["u1"], item=["i2"], title=[title])["scores"].numpy().tolist()

    if plain_words(titles["i2"]):
        assert score(titles["i2"]) == pytest.approx(score(""))
    assert score("étude ever 7 lamp") != pytest.approx(score("日本語"), abs=1e-7)
    example = tf.train.Example()
    for name, value in {"user": "u1", "item": "i2", "title": "日本語"}.items():
        example.features.feature[name].bytes_list.value.append(value.encode())
    scored = saved.signatures["examples"](examples=tf.constant([example.SerializeToString()]))["scores"]
    assert scored.numpy().tolist() == pytest.approx(score("日本語"))
    ranked = ask(saved, "rank", user=["u1"], candidate_ids=[["i1", "i2", "i3"]])
    assert sorted(ranked["ids"].numpy()[0].tolist()) == [b"i1", b"i2", b"i3"]
