"""Which id of an earlier job each id of a new one comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from tfrec.dataset.records import Arrays
from tfrec.schema import FIRST_OOV_ID, PADDING_ID
from trainer.warm_start.vocabularies import Encoding

Tokens = Callable[[], pa.Array]


@dataclass(frozen=True)
class IdMap:
    """From the ids of a feature to those that it had.

    Attributes:
        source: the earlier id; of a new token the one that the earlier job would have given it: an unknown one's.
            int64 [ids]
        is_new: tokens that the earlier job did not know. bool [ids]
        first_token_id: ids below it are padding and unknown tokens.
        gone: tokens that the earlier job knew and this one does not.

    """

    source: np.ndarray
    is_new: np.ndarray
    first_token_id: int
    gone: int = 0

    @property
    def moves_none(self) -> bool:
        """Whether everything that both know kept its id."""
        known = ~self.is_new
        return bool((self.source[known] == np.flatnonzero(known)).all())


def map_ids(earlier: Encoding, earlier_tokens: Tokens, new: Encoding, new_tokens: Tokens, num_ids: int) -> IdMap | str:
    """Compare two encodings of a feature; or say why nothing can be taken over.

    Args:
        earlier: how the earlier job's dataset encoded it.
        earlier_tokens: reads its tokens.
        new: how the new dataset does.
        new_tokens: reads its tokens.
        num_ids: of the new encoding.

    """
    if earlier.kind != new.kind:
        return f"its ids come from {earlier.kind} there, from {new.kind} here"
    none_new = np.zeros(num_ids, np.bool_)
    if new.kind == "hash":
        if earlier.hash_buckets != new.hash_buckets:
            return f"{earlier.hash_buckets} hash buckets there, {new.hash_buckets} here"
        return IdMap(np.arange(num_ids), none_new, FIRST_OOV_ID)
    if new.kind == "buckets":
        return IdMap(_buckets(earlier.boundaries, new.boundaries, num_ids), none_new, FIRST_OOV_ID)
    return _vocabularies(earlier, earlier_tokens(), new, new_tokens(), num_ids)


def _vocabularies(earlier: Encoding, earlier_tokens: pa.Array, new: Encoding, tokens: pa.Array, ids: int) -> IdMap:
    first = new.first_token_id
    found = pc.index_in(tokens, value_set=earlier_tokens)
    is_new = np.zeros(ids, np.bool_)
    is_new[first:] = found.is_null().to_numpy(zero_copy_only=False)
    source = np.empty(ids, np.int64)
    reserved = np.arange(first)
    source[:first] = np.where(reserved < earlier.first_token_id, reserved, FIRST_OOV_ID)
    source[first:] = found.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64) + earlier.first_token_id
    unknown = FIRST_OOV_ID
    if earlier.num_oov > 1:
        strings = tf.constant(tokens.filter(found.is_null()).to_numpy(zero_copy_only=False))
        unknown += tf.strings.to_hash_bucket_fast(strings, earlier.num_oov).numpy()
    source[is_new] = unknown
    return IdMap(source, is_new, first, gone=len(earlier_tokens) - int((~is_new[first:]).sum()))


def _buckets(earlier: Sequence[float], new: Sequence[float], ids: int) -> np.ndarray:
    """Each bucket comes from the earlier one that its middle lies in; the outer ones go by their only boundary."""
    bounds = np.asarray(new, np.float32)
    if len(bounds):
        inner = (bounds[:-1] + bounds[1:]) / 2
        middles = np.concatenate([[np.nextafter(bounds[0], np.float32(-np.inf))], inner, [bounds[-1]]])
        found = 1 + np.searchsorted(np.asarray(earlier, np.float32), middles, side="right")
    else:
        found = np.ones(1, np.int64)
    unused = np.full(ids - 1 - len(found), found[-1])
    return np.concatenate([[PADDING_ID], found, unused]).astype(np.int64)


def content_means(
    ids: np.ndarray, columns: Arrays, first_value: dict[str, int], known: np.ndarray, vectors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors for new ids from what is known of them.

    The vector of a value (a genre, say) is the mean over the known ids that have it; that of a new id the mean over
    its values.

    Args:
        ids: one per entity. int64 [entities]
        columns: encoded features of the entities, [entities] or [entities, width].
        first_value: feature → its first id that is a value: not padding or unknown.
        known: whether an entity's vector is known. bool [entities]
        vectors: of the known entities, in their order. float32 [sum(known), dim]

    Returns:
        (new ids that have a value that a known one has, in ascending order; their vectors).

    """
    dim = vectors.shape[1]
    place_of_known = np.cumsum(known) - 1
    total, count = np.zeros([len(ids), dim], np.float32), np.zeros(len(ids), np.int64)
    for name, column in columns.items():
        entity, position = np.nonzero(column.reshape(len(ids), -1) >= first_value[name])
        value = column.reshape(len(ids), -1)[entity, position]
        size = int(value.max(initial=0)) + 1
        from_known = known[entity]
        mean = _segment_mean(vectors, place_of_known[entity[from_known]], value[from_known], size)
        has_known = np.bincount(value[from_known], minlength=size) > 0
        wanted = ~from_known & has_known[value]
        rows, values = entity[wanted], value[wanted]
        total += tf.math.unsorted_segment_sum(mean[values], rows, len(ids)).numpy()
        count += np.bincount(rows, minlength=len(ids))
    found = np.flatnonzero(count)
    found = found[np.argsort(ids[found], kind="stable")]
    return ids[found], total[found] / count[found, None]


def _segment_mean(vectors: np.ndarray, rows: np.ndarray, segments: np.ndarray, size: int) -> np.ndarray:
    mean: np.ndarray = tf.math.unsorted_segment_mean(tf.gather(vectors, rows), segments, size).numpy()
    return mean
