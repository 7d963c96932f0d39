"""The arrays of several calls as one batch, and the batch's outputs as each call's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from serving.server.runtime.batching_options import BatchingOptions
from serving.server.status import failed_precondition, invalid_argument
from serving.tensors import Array


def joined(calls: Sequence[Mapping[str, Array]], options: BatchingOptions) -> tuple[Mapping[str, Array], int]:
    """Return the inputs of all calls, one after another, padded as `options` say, and the number of their rows.

    Rows that are added repeat the last call's first row; places that are added in a row repeat the tensor's own first
    element, as TF Serving does.
    """
    num_rows = sum(len(next(iter(inputs.values()))) for inputs in calls)
    num_added = options.padded_size(num_rows) - num_rows if options.allowed_batch_sizes else 0
    if len(calls) == 1 and not num_added:
        return calls[0], num_rows
    batch: dict[str, Array] = {}
    for name in calls[0]:
        arrays = [inputs[name] for inputs in calls]
        if options.pad_variable_length_inputs:
            arrays = _evenly_shaped(arrays)
        if num_added and len(arrays[-1]):
            arrays.append(np.repeat(arrays[-1][:1], num_added, axis=0))
        batch[name] = np.concatenate(arrays)
    return batch, num_rows + num_added


def _evenly_shaped(arrays: Sequence[Array]) -> list[Array]:
    shapes = [array.shape[1:] for array in arrays]
    if len(set(shapes)) == 1:
        return list(arrays)
    widest = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    return [_widened(array, (len(array), *widest)) for array in arrays]


def _widened(array: Array, shape: tuple[int, ...]) -> Array:
    if array.shape == shape:
        return array
    if array.size == 0:
        raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
    wide = np.full(shape, array.flat[0], dtype=array.dtype)
    wide[tuple(slice(size) for size in array.shape)] = array
    return wide


def parted(outputs: Sequence[Array], sizes: Sequence[int], num_rows: int) -> list[list[Array]]:
    """Return each call's share of a batch's outputs, for calls of `sizes` rows in a batch of `num_rows`."""
    for value in outputs:
        if value.ndim == 0:
            raise failed_precondition("Batched output tensor has 0 dimensions")
        if len(value) != num_rows:
            raise failed_precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                "input tensors"
            )
    if len(sizes) == 1 and sizes[0] == num_rows:
        return [list(outputs)]
    ends = np.cumsum(sizes).tolist()
    return [[value[end - size : end] for value in outputs] for size, end in zip(sizes, ends, strict=True)]
