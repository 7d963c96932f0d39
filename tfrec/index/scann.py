"""ScaNN's index (Guo et al. 2020) behind the same contract: lists, quantised scores, the best again in float32.

Its operations are no part of TensorFlow. The library brings them to a Python process; a server needs them built in.
"""

from __future__ import annotations

import hashlib
from types import ModuleType

import numpy as np
import tensorflow as tf

from tfrec.errors import ConfigError
from tfrec.index.exact import ExactIndex
from tfrec.index.item_index import LANES, NO_ITEM, Excluded, ItemIndex, Neighbours, checked_vectors, found, padded
from tfrec.index.top_k import NEVER

NEEDS = (
    "a TensorFlow Serving with ScaNN's operations (Scann>TensorsToScann, Scann>ScannSearchBatched) built in; "
    "the stock server cannot load this model"
)
REORDERED = 5  # times the depth: quantised scores that are taken again in float32
TRAINED_ON = 100_000  # items that lists and codes are learnt from
DIMENSIONS_PER_BLOCK = 2  # 16 centres each: 4 bits for two numbers
ANISOTROPIC_THRESHOLD = 0.2  # as ScaNN's own examples have it


def scann_operations() -> ModuleType:
    """ScaNN's operations, loaded into TensorFlow.

    Raises:
        ConfigError: the library is not installed, or was built for another TensorFlow.

    """
    try:
        from scann.scann_ops.py import scann_ops
    except ImportError:
        raise ConfigError("index scann: ScaNN is not installed; pip install 'tfrec[scann]', or choose ivf") from None
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0]
        raise ConfigError(
            f"index scann: the installed ScaNN does not load into TensorFlow {tf.__version__} ({reason}); "
            "pip install 'tfrec[scann]' has the one that does, or choose ivf"
        ) from None
    return scann_ops  # type: ignore[no-any-return]


class ScannLists(tf.Module):
    """A searcher that was learnt once, and the vectors, which it shares with the exact search."""

    def __init__(self, vectors: np.ndarray, lists: int, depth: int) -> None:
        """Learn lists and codes.

        Args:
            vectors: float32 [num_items, dim].
            lists: ScaNN's leaves.
            depth: items that a query finds.

        Raises:
            ConfigError: ScaNN cannot be loaded, or fewer items than lists.
            DataError: no vectors, or some not finite.

        """
        super().__init__(name="scann_lists")
        self._operations = scann_operations()
        vectors = checked_vectors(vectors)
        if not 1 <= lists <= len(vectors):
            raise ConfigError(
                f"index scann: {lists} lists of {len(vectors)} items; choose from 1 to the number of items"
            )
        self.num_items, self.lists, self.depth = len(vectors), lists, min(depth, len(vectors))
        self.all = ExactIndex(vectors)
        builder = (
            self._operations.builder(padded(vectors, 1, LANES), self.depth, "dot_product")
            .tree(lists, 1, training_sample_size=TRAINED_ON)
            .score_ah(
                DIMENSIONS_PER_BLOCK,
                anisotropic_quantization_threshold=ANISOTROPIC_THRESHOLD,
                training_sample_size=TRAINED_ON,
            )
            .reorder(min(REORDERED * self.depth, len(vectors)))
        )
        learnt = builder.build().serialize_to_module()
        # All of the searcher but the vectors, which the exact search keeps already.
        self._learnt = [
            learnt.scann_config, learnt.serialized_partitioner, learnt.datapoint_to_token, learnt.ah_codebook,
            learnt.hashed_dataset, learnt.int8_dataset, learnt.int8_multipliers, learnt.dp_norms,
        ]  # fmt: skip
        # Processes that hold several models find searchers by name: another searcher must have another one.
        digest = hashlib.sha256(vectors.tobytes())
        for part in self._learnt:
            value = part.numpy()
            digest.update(value if isinstance(value, bytes) else value.tobytes())
        self._name = f"scann-{digest.hexdigest()}"

    def search(self, queries: tf.Tensor, probes: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores float32, −inf where there is none, and items int32 [batch, depth] of queries as wide as the table."""
        vectors = self.all.vectors[: self.num_items]  # whole rows from the first on are no copy
        searcher = self._operations.tensors_to_scann(vectors, *self._learnt, shared_name=self._name)
        items, scores = self._operations.scann_search_batched(
            searcher, queries, self.depth, min(REORDERED * self.depth, self.num_items), probes, False
        )
        there = tf.math.is_finite(scores) & (items >= 0) & (items < self.num_items)
        # As wide as the longest answer of the batch, which lists with few items leave short.
        lacking = [[0, 0], [0, self.depth - tf.shape(scores)[1]]]
        scores = tf.pad(tf.where(there, scores, NEVER), lacking, constant_values=NEVER)
        return scores, tf.pad(tf.where(there, items, 0), lacking)


class ScannIndex(ItemIndex):
    """ScaNN's answers without what is left out; a row that lacks items then is answered from all of them."""

    def __init__(self, lists: ScannLists, probes: int) -> None:
        """Take a searcher.

        Raises:
            ConfigError: more probes than lists.

        """
        super().__init__(name="scann_index")
        if not 1 <= probes <= lists.lists:
            raise ConfigError(f"index: {probes} probes of {lists.lists} lists; choose from 1 to {lists.lists}")
        self.num_items, self.probes, self.depth = lists.num_items, probes, lists.depth
        self._lists = lists

    def search(
        self,
        queries: tf.Tensor,
        k: tf.Tensor | int,
        excluded: Excluded | None = None,
        allowed: tf.Tensor | None = None,
    ) -> Neighbours:
        k = tf.minimum(tf.convert_to_tensor(k, tf.int32), self.num_items)
        scores, items = self._lists.search(self._lists.all.widened(queries), self.probes)
        if allowed is not None:
            rows = tf.broadcast_to(allowed, [tf.shape(queries)[0], self.num_items])
            scores = tf.where(tf.gather(rows, items, batch_dims=1), scores, NEVER)
        if excluded is not None:
            scores = tf.where(self._is_excluded(items, excluded), NEVER, scores)
        is_enough = tf.math.count_nonzero(scores > NEVER, axis=1, dtype=tf.int32) >= k
        width = tf.minimum(k, self.depth)
        best, places = tf.math.top_k(scores, width)
        lacking = [[0, 0], [0, k - width]]
        best = tf.pad(best, lacking, constant_values=NEVER)
        items = tf.pad(tf.gather(items, places, batch_dims=1), lacking, constant_values=NO_ITEM)

        def of_all() -> tuple[tf.Tensor, tf.Tensor]:
            whole = self._lists.all.search(queries, k, excluded, allowed)
            # The others of a batch are answered as they would be alone.
            of_lists = is_enough[:, None]
            return tf.where(of_lists, best, whole.scores), tf.where(of_lists, items, whole.items)

        return found(*tf.cond(tf.reduce_all(is_enough), lambda: (best, items), of_all))

    def _is_excluded(self, items: tf.Tensor, excluded: Excluded) -> tf.Tensor:
        """Bool [batch, depth], by looking each found pair up among the sorted excluded ones."""
        is_item = (excluded.items >= 0) & (excluded.items < self.num_items)
        none = tf.constant([-1], tf.int64)  # so that there is always one to compare with
        keys = tf.where(is_item, excluded.rows * self.num_items + excluded.items, none)
        keys = tf.sort(tf.concat([none, keys], axis=0))
        rows = tf.range(tf.shape(items, tf.int64)[0])[:, None]
        wanted = tf.reshape(rows * self.num_items + tf.cast(items, tf.int64), [-1])
        places = tf.minimum(tf.searchsorted(keys, wanted), tf.size(keys) - 1)
        return tf.reshape(tf.equal(tf.gather(keys, places), wanted), tf.shape(items))
