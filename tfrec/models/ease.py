r"""EASE: the linear autoencoder with an empty diagonal, solved in closed form (Steck 2019).

.. math:: \min_B \lVert X - X B \rVert^2 + \lambda \lVert B \rVert^2,\; B_{jj} = 0
   \quad\Rightarrow\quad B_{ij} = -\frac{P_{ij}}{P_{jj}},\; P = (X^\top X + \lambda I)^{-1}

X is 1 where a user took an item. The solution takes num_items² numbers and num_items³ steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.linalg import get_lapack_funcs

from tfrec.errors import ConfigError
from tfrec.layers import TableShape
from tfrec.models.inputs import ModelInputs
from tfrec.models.neighbours.item_to_item import ItemToItem, user_item_counts
from tfrec.models.neighbours.item_weights import DenseWeights, ItemWeights, NeighbourTable, table_width
from tfrec.models.profiles.user_profiles import ProfileConfig
from tfrec.schema import Schema

BLOCK_VALUES = 1 << 23  # of a matrix, copied or sorted at a time


class EASEConfig(ProfileConfig):
    """Choices of the autoencoder."""

    l2: float = Field(300.0, gt=0, description="λ")
    top: int | None = Field(
        None, ge=1, description="weights of each item that are kept, the largest ones; null: all num_items² of them"
    )
    precision: Literal["float64", "float32"] = Field(
        "float64", description="of the solution; float32 takes half the memory and time"
    )


class EASE(ItemToItem):
    """Item × item weights of a ridge regression of each item on all others."""

    Config = EASEConfig
    config: EASEConfig
    search_space: ClassVar[dict[str, str]] = {
        "model.l2": "log(30, 3000)",
        "model.half_life": "log(1, 50)",
    }

    def __init__(self, config: EASEConfig, inputs: ModelInputs) -> None:
        size = inputs.num_items

        def weights() -> ItemWeights:
            return DenseWeights(size) if config.top is None else NeighbourTable(size, config.top)

        super().__init__(config, inputs, weights, "ease")

    def _fit_weights(self, inputs: ModelInputs) -> None:
        users = user_item_counts(inputs.train)
        users.data[:] = 1
        weights = solve(gram_matrix(users, np.dtype(self.config.precision)), self.config.l2)
        for rows in row_blocks(len(weights)):
            self._weights.assign_rows(rows, weights[rows])

    @classmethod
    def fit_flops(cls, num_items: int) -> float:
        return float(num_items) ** 3  # a third of it the Cholesky factor, two thirds the inverse from it

    @classmethod
    def table_shapes(
        cls, config: EASEConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        floats = 2 if config.precision == "float64" else 1
        shapes = [TableShape("item_by_item", num_items, floats * num_items)]
        if config.top is None:
            return [*shapes, TableShape("weights", num_items, num_items)]
        return [*shapes, TableShape("largest_weights", num_items, 2 * table_width(num_items, config.top))]


def gram_matrix(users: sparse.csr_array, dtype: np.dtype) -> np.ndarray:
    """XᵀX [num_items, num_items], some rows at a time: no sparse product of its size stands beside it."""
    by_item = users.T.tocsr()
    gram = np.empty((users.shape[1], users.shape[1]), dtype)
    for rows in row_blocks(len(gram)):
        gram[rows] = (by_item[rows] @ users).toarray()
    return gram


def solve(gram: np.ndarray, l2: float) -> np.ndarray:
    """B [num_items, num_items] of a Gram matrix, which is overwritten with it.

    Raises:
        ConfigError: λ is too small for the precision.

    """
    gram[np.diag_indices_from(gram)] += l2
    factor, invert = get_lapack_funcs(("potrf", "potri"), (gram,))
    # LAPACK reads by columns. A symmetric matrix is its own transpose, so it is solved where it stands.
    found, fault = factor(gram.T, lower=1, clean=0, overwrite_a=1)
    if fault == 0:
        found, fault = invert(found, lower=1, overwrite_c=1)
    if fault != 0:
        raise ConfigError(
            f"model.l2={l2:g}: too small for {gram.dtype}, the matrix is singular in it; raise it"
            + ("" if gram.dtype == np.float64 else ", or set model.precision=float64")
        )
    inverse = found.T
    for rows in row_blocks(len(inverse)):  # LAPACK fills one triangle
        square = inverse[rows, rows]
        inverse[rows, rows] = np.triu(square) + np.triu(square, 1).T
        inverse[rows.stop :, rows] = inverse[rows, rows.stop :].T
    inverse /= -inverse.diagonal().copy()
    np.fill_diagonal(inverse, 0)
    return inverse


def row_blocks(size: int) -> Iterator[slice]:
    """Rows of a square matrix, so many at a time that a copy of them takes little room."""
    rows = max(BLOCK_VALUES // max(size, 1), 1)
    for start in range(0, size, rows):
        yield slice(start, min(start + rows, size))
