"""What the processes and replicas of one synchronous job do together: share the input, agree on a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import tensorflow as tf

from tfrec.dataset.records import Tensors


def distribute_rows(strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> tf.data.Dataset:
    """Serve each replica its rows of the global batches, so that a step is the same for any number of replicas.

    Replica r of n gets the rows from r·B/n to (r + 1)·B/n of a batch of B rows. Every process reads all batches: where
    reading is what costs, give each process its own rows instead (`distribute_own_rows`).

    Args:
        strategy: synchronous.
        batches: of the whole job, the same in every process.

    """
    if strategy.num_replicas_in_sync == 1:
        return batches

    def own_parts(context: tf.distribute.InputContext) -> tf.data.Dataset:
        each = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * each
        return _parts(batches, range(first, first + each), context.num_replicas_in_sync)

    return _served_as_it_is(strategy, own_parts)


def distribute_own_rows(strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> tf.data.Dataset:
    """Serve the replicas of this process their rows of batches that are this process's part of the global ones."""
    if strategy.num_replicas_in_sync == 1:
        return batches

    def own_parts(context: tf.distribute.InputContext) -> tf.data.Dataset:
        each = context.num_replicas_in_sync // context.num_input_pipelines
        return _parts(batches, range(each), each)

    return _served_as_it_is(strategy, own_parts)


def value_of_first(strategy: tf.distribute.Strategy, value: float) -> float:
    """The value that the process of the first replica gave, in every process; all must call it."""
    return float(_share_first(strategy)(tf.constant(value, tf.float64)))


@cache
def _share_first(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    def share(value: tf.Tensor) -> tf.Tensor:
        is_first = tf.equal(tf.distribute.get_replica_context().replica_id_in_sync_group, 0)
        return tf.where(is_first, value, tf.zeros_like(value))

    @tf.function(autograph=False)
    def share_first(value: tf.Tensor) -> tf.Tensor:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(share, args=(value,)), axis=None)

    return share_first


def _parts(batches: tf.data.Dataset, own: Sequence[int], count: int) -> tf.data.Dataset:
    def cut(batch: Tensors) -> tf.data.Dataset:
        rows = tf.shape(next(iter(batch.values())))[0]

        def part(number: tf.Tensor) -> Tensors:
            first, end = number * rows // count, (number + 1) * rows // count
            return {name: values[first:end] for name, values in batch.items()}

        return tf.data.Dataset.from_tensor_slices(tf.constant(list(own))).map(part)

    return batches.flat_map(cut)


def _served_as_it_is(strategy: tf.distribute.Strategy, own_parts: object) -> tf.data.Dataset:
    # Whoever iterates knows the number of steps: the replicas need not ask each other at each step who has data left.
    strategy.extended.experimental_enable_get_next_as_optional = False
    return strategy.distribute_datasets_from_function(own_parts)
