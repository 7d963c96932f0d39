"""implicit's ALS, BPR and BM25 neighbours, ranked by their own `recommend`."""

from __future__ import annotations

import numpy as np
from implicit.als import AlternatingLeastSquares  # type: ignore[import-not-found]
from implicit.bpr import BayesianPersonalizedRanking  # type: ignore[import-not-found]
from implicit.evaluation import ranking_metrics_at_k  # type: ignore[import-not-found]
from implicit.nearest_neighbours import BM25Recommender  # type: ignore[import-not-found]

from benchmarks.quality.peers.matrix import user_items
from benchmarks.quality.peers.retrieval import FitClock, finish, request, write_listed
from benchmarks.quality.splits import QuerySet
from benchmarks.training.peers.clock import threads

MODELS = {
    "implicit_als": AlternatingLeastSquares,
    "implicit_bpr": BayesianPersonalizedRanking,
    "implicit_bm25": BM25Recommender,
}


def main() -> None:
    asked = request(__doc__, tuple(MODELS))
    train = user_items(asked.splits, ("train",))
    seed = {} if asked.model == "implicit_bm25" else {"random_state": asked.seed}
    model = MODELS[asked.model](**asked.settings, **seed, num_threads=threads())
    clock = FitClock()
    model.fit(train, show_progress=False)
    said = clock.said()
    # Vectors of ALS follow what a user reads; those of BPR are learnt and stay.
    follows = {"recalculate_user": True} if asked.model == "implicit_als" else {}

    def lists(of: QuerySet, users: np.ndarray, length: int) -> np.ndarray:
        read = user_items(asked.splits, of.read)[users]
        found, _ = model.recommend(users, read, N=length, filter_already_liked_items=True, **follows)
        return found.astype(np.int64)

    write_listed(asked, lists)
    own = ranking_metrics_at_k(
        model, train, user_items(asked.splits, ("validation",)), K=10, show_progress=False, num_threads=threads()
    )
    finish(said, float(own["ndcg"]))


if __name__ == "__main__":
    main()
