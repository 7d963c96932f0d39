"""What tests of whole evaluations share: a quick job with all baselines, and metrics that two evaluations agree on."""

from tfrec.models.popularity import Popularity, PopularityConfig

QUICK = ("train.epochs=2", "train.batch_size=2048", "model.embedding_dim=4")
FEW = "evaluation.baseline_trials=2"


def quick_job(world):
    return world.job("two_tower", *QUICK, FEW, "evaluation.baselines=[popularity, item_knn, ease]")


def fitted_popularity(data):
    model = Popularity(PopularityConfig(), data.model_inputs)
    model.fit(data.model_inputs)
    return model


def metrics_of(content):
    return {key: value for key, value in content.items() if "/" in key and not key.startswith(("cost/", "train/"))}
