"""Texts to ids of words, against a tokeniser of plain Python."""

import os
import subprocess
import sys
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tfrec.config_file import parse_config
from tfrec.dataset.records import encoded_dtype, list_width
from tfrec.errors import ConfigError
from tfrec.feature_transform import FeatureAnalysis, FeatureTransform, build_transform, raw_specs
from tfrec.feature_transform.tokens import tokenize
from tfrec.layers import FeatureEmbedding, FieldPlan
from tfrec.schema import Schema

SCHEMA = """
name: texts
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
  title: {role: item, kind: text, tokens: {max_tokens: 4, num_oov_indices: 3}}
  hashed: {role: item, kind: text, tokens: {max_tokens: 3, hash_buckets: 11}}
  query: {role: context, kind: text, tokens: {}}
  shown: {role: item, kind: text}
split: {strategy: leave_one_out}
"""
VOCABULARY = {"user_id": ["u"], "item_id": ["i"], "title": ["the", "lamp", "çay", "日本語", "7"], "query": []}
# Scripts and signs on whose cases and categories Unicode has not changed since Python, ICU and RE2 learnt them.
CHARACTERS = st.one_of(
    st.characters(max_codepoint=0x2BFF, exclude_categories=["Cs", "Cc", "Cn"]),
    st.sampled_from("ßẞİıIÌÍĨĮΣςǅﬁ日本語한국어ไทย😀👍🏽²½Ⅷ٣ \t\u00a0\u2028-_'’.,;!?/\\|"),
    st.sampled_from("aAbBéÉeE 019"),
)
TEXTS = st.text(CHARACTERS, max_size=25)


def plain_words(text):
    """Lower case, then runs of characters of the Unicode categories L and N."""
    words, word = [], ""
    for character in text.lower() + " ":
        if unicodedata.category(character)[0] in "LN":
            word += character
        elif word:
            words.append(word)
            word = ""
    return words


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5), width=st.integers(1, 6))
@example(texts=["", "?!", "İstanbul STRASSE Straße ΟΔΟΣ", "日本語 テキスト", "a😀b 2nd x²"], width=6)
def test_words_are_runs_of_letters_and_digits_in_lower_case(texts, width):
    found = tokenize(tf.constant(texts, tf.string, shape=[len(texts)]), width)
    expected = [[word.encode() for word in plain_words(text)[:width]] for text in texts]
    assert found.to_list() == expected


def test_bytes_that_are_not_utf8_divide_words():
    assert tokenize(tf.constant([b"ab\xff\xfecd", b"\xff"]), 5).to_list() == [[b"ab", b"cd"], []]


LOCALE_CHECK = """
import sys, tfrec, tensorflow as tf
from tfrec.feature_transform.tokens import tokenize
text = sys.stdin.buffer.read()
sys.stdout.buffer.write(b" ".join(tokenize(tf.constant([text]), 10**6).flat_values.numpy()))
"""


@pytest.mark.parametrize("locale", ["tr_TR.UTF-8", "lt_LT.UTF-8"])
def test_words_do_not_depend_on_the_locale_of_the_process(locale):
    text = "".join(f"{chr(c)}{mark} " for c in range(0x41, 0x250) for mark in ("", "\u0300", "\u0301"))
    done = subprocess.run(
        [sys.executable, "-c", LOCALE_CHECK],
        input=text.encode(),
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": locale},
    )
    assert done.stdout.decode().split(" ") == plain_words(text)


# --- Ids ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema():
    return parse_config(SCHEMA, Schema)


@pytest.fixture(scope="module")
def transform(schema, tmp_path_factory):
    root = tmp_path_factory.mktemp("transform")
    files = {name: root / f"{name}.txt" for name in VOCABULARY}
    for name, tokens in VOCABULARY.items():
        files[name].write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    sizes = {name: len(tokens) for name, tokens in VOCABULARY.items()}
    build_transform(schema, FeatureAnalysis(files, sizes, {}), root / "saved")
    return FeatureTransform(schema, root / "saved")


def bucket_of(token, buckets):
    return int(tf.strings.to_hash_bucket_fast([token], buckets)[0])


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS | st.sampled_from(["The LAMP!", "lamp/ÇAY-7 日本語 the"]), min_size=1, max_size=4))
def test_ids_are_padding_then_unknown_words_then_the_vocabulary(transform, texts):
    vocabulary = VOCABULARY["title"]
    expected = []
    for text in texts:
        words = plain_words(text)[:4]
        ids = [4 + vocabulary.index(w) if w in vocabulary else 1 + bucket_of(w, 3) for w in words]
        expected.append(ids + [0] * (4 - len(ids)))
    found = transform({"title": tf.constant(texts)})["title"]
    assert found.dtype == tf.int64
    assert found.numpy().tolist() == expected


def test_hashed_words_need_no_vocabulary(transform):
    found = transform({"hashed": tf.constant(["a B", ""])})["hashed"].numpy().tolist()
    assert found == [[1 + bucket_of("a", 11), 1 + bucket_of("b", 11), 0], [0, 0, 0]]


def test_with_an_empty_vocabulary_all_words_are_unknown(transform):
    assert transform({"query": tf.constant(["red lamp"])})["query"].numpy().tolist() == [[1, 1] + [0] * 14]


def test_an_empty_batch_keeps_type_and_width(transform):
    found = transform({"title": tf.zeros([0], tf.string)})["title"]
    assert (found.dtype, tuple(found.shape)) == (tf.int64, (0, 4))


def test_the_graph_of_a_compiled_function_knows_the_width(transform):
    compiled = tf.function(lambda texts: transform({"title": texts})["title"])
    concrete = compiled.get_concrete_function(tf.TensorSpec([None], tf.string))
    assert concrete.structured_outputs.shape.as_list() == [None, 4]
    assert concrete(tf.constant(["the 7"])).numpy().tolist() == [[4, 8, 0, 0]]


# --- Schema and models ----------------------------------------------------------------------------------------------


def test_text_with_tokens_is_encoded_and_shown(schema, transform):
    assert list(schema.encoded) == ["user_id", "item_id", "title", "hashed", "query"]
    assert list(schema.display) == ["title", "hashed", "shown"]
    assert transform({"shown": tf.constant(["x"])}) == {}
    assert {name: list_width(feature) for name, feature in schema.features.items()} == {
        "user_id": None,
        "item_id": None,
        "title": 4,
        "hashed": 3,
        "query": 16,
        "shown": None,
    }
    assert encoded_dtype(schema.features["title"]) == tf.int64


def test_a_raw_text_is_one_string_per_row(schema):
    spec = raw_specs({"title": schema.features["title"]})["title"]
    assert (spec.dtype, spec.shape.as_list()) == (tf.string, [None])


def test_the_defaults_of_tokens_are_those_of_the_reference():
    schema = parse_config(SCHEMA, Schema)
    assert schema.features["query"].tokens.model_dump() == {
        "max_tokens": 16,
        "min_count": 1,
        "max_size": None,
        "num_oov_indices": 1,
        "hash_buckets": None,
    }


@pytest.mark.parametrize("key", ["max_tokens", "min_count", "max_size", "num_oov_indices", "hash_buckets"])
def test_a_setting_below_one_is_a_config_error(key):
    with pytest.raises(ConfigError, match=rf"title.*{key}"):
        parse_config(SCHEMA.replace("max_tokens: 4, num_oov_indices: 3", f"{key}: 0"), Schema)


def test_the_vector_of_a_text_is_the_mean_of_its_words(schema):
    layer = FeatureEmbedding(FieldPlan(schema, {"title": 10}, ["title"]), 2, stddev=1.0, seed=3)
    (table, _) = (variable.numpy() for variable in layer.variables)
    found = layer({"title": tf.constant([[5, 7, 0, 0], [0, 0, 0, 0]], tf.int64)}).vectors.numpy()
    assert found[0, 0].tolist() == pytest.approx(((table[5] + table[7]) / 2).tolist())
    assert found[1, 0].tolist() == [0, 0]
