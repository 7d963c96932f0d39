"""Text → words: the only tokeniser, used on distinct texts when words are counted and in the graph that is served."""

from __future__ import annotations

import tensorflow as tf

# TensorFlow lower-cases by the rules of the process's locale: where LC_ALL is Turkish, "I" becomes "ı", and a server
# there would not know the words of a dataset written elsewhere. ASCII is lowered first without a locale, and these,
# which Turkish, Azeri and Lithuanian lower in their own way, as everybody else does.
_SPECIAL_LOWER = {"İ": "i\u0307", "Ì": "ì", "Í": "í", "Ĩ": "ĩ", "Į": "į"}
_NOT_A_WORD = r"[^\p{L}\p{N}]+"


def tokenize(texts: tf.Tensor, max_tokens: int) -> tf.RaggedTensor:
    """The first words of each text: runs of letters and digits, in lower case.

    Marks that are characters of their own divide words as punctuation does ("İ" in lower case is an "i" and a mark);
    bytes that are not UTF-8 do too. Scripts without spaces, such as Chinese, are not divided further.

    Args:
        texts: UTF-8. string [n]
        max_tokens: words kept of each text.

    Returns:
        string [n, ≤ max_tokens]; no word is empty.

    """
    lowered = tf.strings.lower(texts)
    for upper, lower in _SPECIAL_LOWER.items():
        lowered = tf.strings.regex_replace(lowered, upper, lower)
    lowered = tf.strings.lower(lowered, encoding="utf-8")
    words = tf.strings.split(tf.strings.regex_replace(lowered, _NOT_A_WORD, " "))
    return words[:, :max_tokens]
