"""LensKit's item neighbours, implicit ALS and popularity, through its standard top-N pipeline."""

from __future__ import annotations

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from lenskit.als import ImplicitMFScorer  # type: ignore[import-not-found]
from lenskit.basic import PopScorer  # type: ignore[import-not-found]
from lenskit.batch import recommend  # type: ignore[import-not-found]
from lenskit.data import ItemList, ItemListCollection, RecQuery, from_interactions_df  # type: ignore[import-not-found]
from lenskit.knn import ItemKNNScorer  # type: ignore[import-not-found]
from lenskit.metrics import NDCG, RunAnalysis  # type: ignore[import-not-found]
from lenskit.metrics.ranking import LogRankWeight  # type: ignore[import-not-found]
from lenskit.pipeline import topn_pipeline  # type: ignore[import-not-found]
from lenskit.training import TrainingOptions  # type: ignore[import-not-found]

from benchmarks.quality.lists import asked_users
from benchmarks.quality.peers.matrix import user_items
from benchmarks.quality.peers.retrieval import FitClock, Request, finish, request, write_listed
from benchmarks.quality.splits import QUERY_SETS, QuerySet

SCORERS = {
    "lenskit_item_knn": (ItemKNNScorer, {"feedback": "implicit"}),
    "lenskit_als": (ImplicitMFScorer, {}),
    "lenskit_popularity": (PopScorer, {}),
}


def main() -> None:
    asked = request(__doc__, tuple(SCORERS))
    scorer, fixed = SCORERS[asked.model]
    pipeline = topn_pipeline(scorer, {**fixed, **asked.settings})
    users, items = asked.splits.pairs(("train",))
    # All ids are known, or LensKit would fail at an item that a user took in validation and nobody in training.
    data = from_interactions_df(
        pd.DataFrame({"user_id": users, "item_id": items}).drop_duplicates(),
        users=np.arange(len(asked.splits.users)),
        items=np.arange(len(asked.splits.items)),
    )
    clock = FitClock()
    pipeline.train(data, TrainingOptions(rng=asked.seed))
    said = clock.said()

    def lists(of: QuerySet, some: np.ndarray, length: int) -> np.ndarray:
        found = recommend(pipeline, _queries(asked, of, some), n=length, n_jobs=1)
        listed = np.full((len(some), length), -1, np.int64)
        for row, user in enumerate(some.tolist()):
            ids = found.lookup(user_id=user).ids()
            listed[row, : len(ids)] = ids
        return listed

    write_listed(asked, lists)
    finish(said, _own_ndcg(asked, pipeline))


def _queries(asked: Request, of: QuerySet, users: np.ndarray) -> list[RecQuery]:
    read = user_items(asked.splits, of.read)
    return [RecQuery(user_id=user, user_items=ItemList(item_ids=read[user].indices)) for user in users.tolist()]


def _own_ndcg(asked: Request, pipeline: object) -> float:
    """Its own NDCG@10 on validation, over its own lists, which leave training items out.

    By default its weights are 1 / max(log₂ r, 1), which give places 1 and 2 alike all; here 1 / log₂(r + 1).
    """
    validation = QUERY_SETS[0]
    users = asked_users(asked.splits, validation)
    found = recommend(pipeline, _queries(asked, validation, users), n=10, n_jobs=1)
    wanted = asked.splits.events["validation"]
    frame = pd.DataFrame({"user_id": wanted.users, "item_id": wanted.items})
    analysis = RunAnalysis()
    analysis.add_metric(NDCG(10, weight=LogRankWeight(offset=1)))
    result = analysis.measure(found, ItemListCollection.from_df(frame, ["user_id"]))
    return float(result.list_summary().loc["NDCG@10", "mean"])


if __name__ == "__main__":
    main()
