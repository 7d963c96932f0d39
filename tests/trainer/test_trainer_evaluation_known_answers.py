"""Figures of papers' splits that were computed independently of this project, through transforms, model and evaluation.

The files are looked for in $TFREC_DATA, or ../shared/data beside the checkout.
"""

import pytest

from tests.transforms.published_files import needs
from tests.transforms.published_splits import NCF_YAML, TOPN_YAML
from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from tfrec.models.registry import model_class
from trainer.data import JobData
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.metrics import evaluate_job
from trainer.evaluation.presets import changed
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig

pytestmark = pytest.mark.slow


def written(yaml, logs, output):
    write_dataset(parse_config(yaml, DatasetConfig, source="dataset.yaml"), str(logs), str(output), [])
    return JobData(DatasetDirectory(output))


def evaluated(data, name, preset, *overrides, **settings):
    found = model_class(name)
    model = found(found.Config(**settings), data.model_inputs)
    model.fit(data.model_inputs)
    protocol = changed(EvaluationConfig(), preset, ["evaluation.baselines=[]", "evaluation.auc=false", *overrides])
    return evaluate_job(model, data, protocol)


def test_popularity_among_99_given_negatives_has_the_known_hit_rate_and_ndcg(tmp_path):
    train, _, negatives = needs(
        "ml-1m-ncf/ml-1m.train.pairs.tsv", "ml-1m-ncf/ml-1m.test.rating", "ml-1m-ncf/ml-1m.test.negative"
    )
    data = written(NCF_YAML, train.parent, tmp_path / "ncf")
    file = f"evaluation.negatives.file={negatives}"
    metrics = evaluated(data, "popularity", "ncf", file)
    assert metrics["test_sampled/users"] == 6040
    assert metrics["test_sampled/hit_rate_at_10"] == pytest.approx(0.4538, abs=5e-5)
    assert metrics["test_sampled/ndcg_at_10"] == pytest.approx(0.2545, abs=5e-5)
    assert metrics["protocol"]["test_sampled"].endswith("ties go to the relevant item")
    # By the lower index instead, some of the equal counts stand before the positive.
    fair = evaluated(data, "popularity", "ncf", file, "evaluation.negatives.ties=lower_index")
    assert fair["test_sampled/ndcg_at_10"] == pytest.approx(0.25435, abs=5e-6)
    # The full ranking of the same queries is far lower: why a sampled metric has a name of its own.
    assert metrics["test/hit_rate_at_10"] < 0.05


@pytest.fixture(scope="module")
def topn(tmp_path_factory):
    train, _ = needs("ml-1m-topn/train.tsv", "ml-1m-topn/test.tsv")
    return written(TOPN_YAML, train.parent, tmp_path_factory.mktemp("topn") / "dataset")


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [("popularity", {}, (0.16221, 0.08581, 0.13928)), ("ease", {"l2": 200.0}, (0.33349, 0.19276, 0.27184))],
)
def test_full_rankings_of_the_random_hold_out_have_the_known_figures(topn, model, settings, expected):
    metrics = evaluated(topn, model, "topn", **settings)
    names = ("ndcg", "recall", "precision")
    assert tuple(metrics[f"test/{name}_at_10"] for name in names) == pytest.approx(expected, abs=5.1e-6)
