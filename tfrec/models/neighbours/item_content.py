r"""What is known of items, as sparse vectors over the tokens of their features (Salton & Buckley 1988).

.. math:: x_{if} \propto (1 + \log n_{if}) \Bigl(1 + \log \frac{1 + N}{1 + n_f}\Bigr)

n_if counts token f in item i (a word may stand twice in a text), n_f the items that have it, N all items. The tokens of
each feature make a vector of length 1, so that a long text says no more than a genre; then each item as a whole does.
A number that is not bucketised is two tokens, above and below the mean, as large as its distance in standard
deviations, at most one at three of them; each dimension of a precomputed vector is one. Tokens that no vocabulary has
say nothing: they are many in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from tfrec.models.inputs import ModelInputs
from tfrec.schema import FIRST_OOV_ID, CategoricalFeature, Feature, TextFeature, VectorFeature

FAR = 3.0  # standard deviations beyond which all numbers are alike


class ItemContent(NamedTuple):
    """Vectors of all items.

    Attributes:
        matrix: rows of length 1, or 0 where nothing is known. float32 [num_items, tokens]
        labels: `<feature>=<token>` of each column, object (bytes).

    """

    matrix: sparse.csr_array
    labels: np.ndarray


def item_content(inputs: ModelInputs, features: Sequence[str], weights: Mapping[str, float]) -> ItemContent:
    """Vectors of the whole catalogue.

    Args:
        inputs: of the model.
        features: encoded item features.
        weights: of the features; 1 where not named.

    """
    blocks, labels = [], []
    for name in features:
        values, feature = inputs.catalogue.features[name], inputs.schema.features[name]
        if isinstance(feature, VectorFeature):
            block = _rows_of_length_one(sparse.csr_array(values))
            of_block = [f"dimension {number}" for number in range(1, feature.length + 1)]
        elif np.issubdtype(values.dtype, np.floating):
            block, of_block = _signs(values), ["above the mean", "below the mean"]
        else:
            first, count = first_token(feature), inputs.num_ids[name]
            block = _rows_of_length_one(_tf_idf(values.reshape(inputs.num_items, -1), first, count))
            of_block = _token_names(feature, inputs.catalogue.tokens.get(name), count - first)
        blocks.append(block * np.float32(weights.get(name, 1.0)))
        labels += [f"{name}={token}" for token in of_block]
    matrix = _rows_of_length_one(sparse.csr_array(sparse.hstack(blocks, format="csr")))
    return ItemContent(matrix, np.array([label.encode() for label in labels], object))


def first_token(feature: Feature) -> int:
    """The first id of a feature that says something: behind padding and what no vocabulary has."""
    if isinstance(feature, TextFeature):
        feature = feature.as_categorical
    if isinstance(feature, CategoricalFeature) and feature.hash_buckets is None:
        return feature.first_token_id
    return FIRST_OOV_ID


def truncated_svd(matrix: sparse.csr_array, dim: int) -> np.ndarray:
    """The right singular vectors of the `dim` largest singular values, each with its largest entry above 0.

    Returns:
        float32 [columns, dim]; zeros in the last columns where the rank is smaller.

    """
    found = np.zeros((matrix.shape[1], dim), np.float32)
    if dim < min(matrix.shape):
        start = np.ones(min(matrix.shape))  # of the iteration: so the same matrix gives the same vectors
        _, values, vectors = svds(matrix.astype(np.float64), k=dim, v0=start)
    else:
        _, values, vectors = np.linalg.svd(matrix.toarray().astype(np.float64), full_matrices=False)
    order = np.argsort(-values, kind="stable")
    order = order[values[order] > 1e-6 * values.max(initial=0)]
    vectors = vectors[order]
    largest = np.abs(vectors).argmax(axis=1)
    signs = np.sign(vectors[np.arange(len(vectors)), largest])
    found[:, : len(vectors)] = (vectors * signs[:, None]).T
    return found


def _tf_idf(ids: np.ndarray, first: int, num_ids: int) -> sparse.csr_array:
    """Ids [items, width] → float32 [items, num_ids − first]."""
    is_token = ids >= first
    rows = np.nonzero(is_token)[0]
    entries = (np.ones(len(rows), np.float32), (rows, ids[is_token] - first))
    counts = sparse.csr_array(sparse.coo_array(entries, shape=(len(ids), num_ids - first)))
    counts.sum_duplicates()
    items = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = 1 + np.log((1 + len(ids)) / (1 + items))
    counts.data = ((1 + np.log(counts.data)) * idf[counts.indices]).astype(np.float32)
    return counts


def _signs(values: np.ndarray) -> sparse.csr_array:
    """Standardised numbers [items] → how far above and below 0; float32 [items, 2]."""
    share = np.clip(np.nan_to_num(values) / FAR, -1, 1).astype(np.float32)
    return sparse.csr_array(np.stack([np.maximum(share, 0), np.maximum(-share, 0)], axis=1))


def _rows_of_length_one(matrix: sparse.csr_array) -> sparse.csr_array:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1))).ravel()
    found = matrix.copy()
    found.data = (matrix.data / np.repeat(np.maximum(norms, 1e-12), np.diff(matrix.indptr))).astype(np.float32)
    return found


def _token_names(feature: Feature, tokens: np.ndarray | None, count: int) -> list[str]:
    if tokens is not None and len(tokens) == count:
        return [token.decode() for token in tokens]
    kind = "hash bucket" if isinstance(feature, CategoricalFeature | TextFeature) else "bucket"
    return [f"{kind} {number}" for number in range(1, count + 1)]
