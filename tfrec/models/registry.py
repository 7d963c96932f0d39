"""Models by name. A new one is a file in this folder and a line here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tfrec.errors import ConfigError, did_you_mean

if TYPE_CHECKING:  # base loads TensorFlow, and the names of the models should be known without it
    from tfrec.models.base import Recommender

_MODELS = {
    "als": "tfrec.models.als:ALS",
    "autorec": "tfrec.models.autorec:AutoRec",
    "bayesian_mf": "tfrec.models.bayesian_mf:BayesianMF",
    "bert": "tfrec.models.bert:Bert",
    "content": "tfrec.models.content:Content",
    "dcn": "tfrec.models.dcn:DCN",
    "deep": "tfrec.models.deep:Deep",
    "deepfm": "tfrec.models.deepfm:DeepFM",
    "dlrm": "tfrec.models.dlrm:DLRM",
    "ease": "tfrec.models.ease:EASE",
    "fm": "tfrec.models.fm:FM",
    "gmf": "tfrec.models.gmf:GMF",
    "gru": "tfrec.models.gru:GRU",
    "item2vec": "tfrec.models.item2vec:Item2Vec",
    "item_knn": "tfrec.models.item_knn:ItemKNN",
    "markov": "tfrec.models.markov:Markov",
    "matrix_factorization": "tfrec.models.matrix_factorization:MatrixFactorization",
    "mult_dae": "tfrec.models.mult_dae:MultDAE",
    "mult_vae": "tfrec.models.mult_vae:MultVAE",
    "multitask": "tfrec.models.multitask:MultiTask",
    "ncf_mlp": "tfrec.models.ncf_mlp:NcfMlp",
    "neumf": "tfrec.models.neumf:NeuMF",
    "popularity": "tfrec.models.popularity:Popularity",
    "rbm": "tfrec.models.rbm:RBM",
    "transformer": "tfrec.models.transformer:Transformer",
    "two_tower": "tfrec.models.two_tower:TwoTower",
    "user2vec": "tfrec.models.user2vec:User2Vec",
    "user_knn": "tfrec.models.user_knn:UserKNN",
    "wide": "tfrec.models.wide:Wide",
    "wide_deep": "tfrec.models.wide_deep:WideDeep",
    "youtube_ranking": "tfrec.models.youtube_ranking:YoutubeRanking",
    "youtube_retrieval": "tfrec.models.youtube_retrieval:YoutubeRetrieval",
}


def model_names() -> list[str]:
    return sorted(_MODELS)


def model_class(name: str) -> type[Recommender]:
    """The class of a model.

    Raises:
        ConfigError: no model has this name.

    """
    if name not in _MODELS:
        raise ConfigError(f"unknown model {name!r}{did_you_mean(name, _MODELS)}")
    module, _, attribute = _MODELS[name].partition(":")
    found: type[Recommender] = getattr(importlib.import_module(module), attribute)
    return found
