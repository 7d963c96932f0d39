"""Protocols of evaluation: presets, and what cannot be followed is refused before anything is trained."""

import pytest

from tests.trainer.planted_world import quiet_console
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.protocol import require_protocol
from trainer.job import JobDirectory
from trainer.run import run_job


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (
            "ranking",
            {"negatives": {"count": 3}},
            "evaluation.negatives: is for retrieval models, and this is a",
        ),
        ("ranking", {"windows": 2, "protocol": "mine"}, "evaluation.windows (of the preset 'mine'): is for retrieval"),
        ("retrieval", {"gauc_by": "request"}, "evaluation.gauc_by: is for ranking models, and this is a retrieval"),
        ("ranking", {"baselines_from": "job"}, "evaluation.baselines_from: is for retrieval models, and this is a"),
        ("ranking", {"gauc_by": "request"}, "evaluation.gauc_by=request: {dataset} has no request ids"),
        (
            "retrieval",
            {"split": "given"},
            "evaluation.split: the protocol is for a dataset split by 'given', ",
        ),
        ("retrieval", {"negatives": {"file": "/none"}}, "evaluation.negatives.file /none: no such file; say --set"),
        ("retrieval", {"baselines": ("two_tower",)}, "evaluation.baselines: two_tower is not a retrieval model that"),
        ("retrieval", {"baselines": ("eas",)}, "unknown model 'eas'; did you mean 'ease'?"),
    ],
)
def test_a_protocol_that_cannot_be_followed_is_refused_before_anything_is_trained(world, task, settings, message):
    dataset = DatasetDirectory(world.dataset())
    with pytest.raises(ConfigError) as caught:
        require_protocol(EvaluationConfig(**settings), task, dataset)
    assert str(caught.value).startswith(message.format(dataset=dataset.path))


def test_windows_need_timestamps(world):
    world.dataset("timeless", "timestamp=null")
    with pytest.raises(ConfigError, match=r"evaluation.windows: .*timeless has no timestamps"):
        require_protocol(EvaluationConfig(windows=2), "retrieval", DatasetDirectory(world.dataset("timeless")))


def test_a_job_is_refused_before_it_claims_its_directory(world, tmp_path):
    config = world.config("two_tower", "evaluation.protocol=ncf", "evaluation.negatives.file=/none")
    with pytest.raises(ConfigError, match="split by 'given'"):
        run_job(config, JobDirectory(tmp_path / "job"), quiet_console())
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("evaluation.protocol=sasreq", "evaluation.protocol: no preset 'sasreq'; did you mean 'sasrec'?"),
        ("evaluation.ks=[0]", "--set: evaluation.ks: got [0]; at least one length is needed, each at least 1"),
        ("evaluation.negative=3", "--set: unknown key 'negative' in 'evaluation'; did you mean 'negatives'?"),
        ("evaluation.baselines=[ease, ease]", "--set: evaluation: baselines: ease, ease has one twice"),
    ],
)
def test_a_mistake_in_the_section_is_one_line(world, setting, message):
    with pytest.raises(ConfigError) as caught:
        world.config("two_tower", setting)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_preset_lies_under_what_is_given_beside_it(world):
    config = world.config("two_tower", "evaluation.protocol=sasrec", "evaluation.negatives.seed=9").evaluation
    assert config.negatives.model_dump() == {
        "count": 100,
        "kind": "uniform",
        "seed": 9,
        "file": None,
        "ties": "lower_index",
    }
    assert (config.protocol, config.split, config.ks, config.windows) == ("sasrec", "leave_one_out", (1, 5, 10), 0)
