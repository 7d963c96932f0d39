"""What an index is built from and tuned on: the item vectors of a trained model, and queries that it has not learnt."""

from __future__ import annotations

import argparse
from typing import NamedTuple, get_args

import numpy as np
import tensorflow as tf

from tfrec.command_line import ArgumentParser
from tfrec.config_file import parse_config
from tfrec.dataset.records import Arrays
from tfrec.errors import ConfigError
from tfrec.export.index_search import IndexSearch
from tfrec.export.inner_products import InnerProducts, of_towers
from tfrec.export.refreshed import RefreshedRetrieval
from tfrec.index import IndexConfig, IndexReport, choose_index
from tfrec.index.report import IndexKind
from tfrec.models.base import Recommender, RetrievalModel
from trainer.data import JobData

QUERIES = 1000  # half to tune on, half to measure with
COMPARED = 16  # queries whose scores are computed both ways
APART = 1e-3  # of the largest score


class IndexedSearch(NamedTuple):
    """An index as an export takes it, and what is known of it.

    Attributes:
        search: None where the model's own product is what was chosen.
        report: of the choice.

    """

    search: IndexSearch | None
    report: IndexReport


def add_index_flags(flags: ArgumentParser) -> None:
    flags.add_argument(
        "--index",
        choices=get_args(IndexKind),
        help="how items are found; exact by default; scann needs a server that has it",
    )
    flags.add_argument("--recall-at-least", type=float, metavar="SHARE", help="that the index must reach; 0.95")
    flags.add_argument(
        "--recall-k", type=int, metavar="K", help="places that the recall is of; 100, or the candidates of a cascade"
    )
    flags.add_argument(
        "--index-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a further setting of the index: lists, probes, scoring, seed",
    )


def index_config(chosen: argparse.Namespace) -> IndexConfig | None:
    """What the flags of `add_index_flags` say; None where they say nothing.

    Raises:
        ConfigError: a value is not allowed, or there is a setting of an index that is not asked for.

    """
    given = {"kind": chosen.index, "recall_at_least": chosen.recall_at_least, "k": chosen.recall_k}
    settings = [f"{key}={value}" for key, value in given.items() if value is not None] + chosen.index_set
    if chosen.index is None:
        if settings:
            raise ConfigError(
                "--recall-at-least, --recall-k and --index-set are about an index; add --index ivf or auto"
            )
        return None
    return parse_config("", IndexConfig, settings, source="--index")


def find_index(name: str, model: Recommender, data: JobData, config: IndexConfig) -> IndexedSearch | None:
    """The index of a model's items that is asked for, tuned on queries of held-out events.

    Args:
        name: of the model, for messages.
        model: a trained one, or one refreshed for a later catalogue.
        data: what it learnt from.
        config: what is asked for.

    Returns:
        None where scoring the catalogue by the model itself is what is asked for, or the only way there is.

    Raises:
        ConfigError: lists are asked for and the model's scores are no inner products, or they miss the recall.

    """
    if config.kind == "exact" and config.scoring == "float32":
        return None  # as fast by the model's own product
    products = _inner_products(model)
    if not isinstance(model, RetrievalModel) or products is None:
        if config.kind == "auto":
            return None
        raise ConfigError(f"--index: {name} has no vectors of users and items; export it without, or as auto")
    features = _sample(data, model.required_features, config.seed)
    queries = products.embed_queries({one: tf.constant(values) for one, values in features.items()}).numpy()
    some = {one: tf.constant(values[:COMPARED]) for one, values in features.items()}
    scores = queries[:COMPARED] @ products.vectors.T
    apart = np.where(products.is_last, 0, np.abs(scores - model.scores(some).numpy()).max(axis=0))
    far = np.flatnonzero(apart > APART * np.abs(scores).max())
    if len(far):
        if config.kind == "auto":
            return None
        raise ConfigError(
            f"--index: {name} scores {len(far)} items otherwise than by their vectors, first "
            f"{model.inputs.catalogue.ids[far[0]].decode(errors='replace')!r}; export it without, or as auto"
        )
    chosen = choose_index(products.vectors, queries, config)
    if chosen.report.kind == "exact" and config.scoring == "float32":  # with an index the vectors would be saved twice
        return IndexedSearch(None, chosen.report)
    return IndexedSearch(IndexSearch(model, products, chosen.index), chosen.report)


def _inner_products(model: Recommender) -> InnerProducts | None:
    if isinstance(model, RefreshedRetrieval):
        return model.inner_products()
    return of_towers(model) if isinstance(model, RetrievalModel) else None


def _sample(data: JobData, names: frozenset[str], seed: int) -> Arrays:
    """Features of events that nothing was learnt from, in no order; of training events where none were held out."""
    split = "validation" if data.dataset.rows("validation") else "train"
    columns = data.columns(split, sorted(names))
    size = len(next(iter(columns.values())))
    rows = np.random.default_rng(seed).permutation(size)[:QUERIES]
    return {name: values[rows] for name, values in columns.items()}
