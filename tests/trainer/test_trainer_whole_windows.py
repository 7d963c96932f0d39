"""Training windows of a job: they hold what the history holds, and a run that was stopped goes on as if it had not."""

import numpy as np
import pytest

from tests.trainer.planted_world import quiet_console
from tests.trainer.test_trainer_resume import AskedAfter, metrics_of, require_same, state_of
from tfrec.dataset.window_batches import NEXT, SEGMENT
from tfrec.errors import ConfigError, DataError, Stopped
from trainer.cluster.placement import Placement
from trainer.job import JobDirectory
from trainer.run import run_job
from trainer.training import steps
from trainer.training.source import open_source
from trainer.training.whole_rows import whole_windows

SESSIONS = "sessions={gap_minutes: 720}"


def history(**more):
    keys = ", ".join(f"{key}: {value}" for key, value in more.items())
    return f"features.history={{role: user, kind: sequence, length: 20, {keys}}}"


def segments_of(data, config, *names):
    """Columns of every segment of an epoch."""
    for batch in whole_windows(data, names, config).epoch(0).as_numpy_iterator():
        for row, segments in enumerate(batch[SEGMENT]):
            for segment in sorted(set(segments) - {0}):
                yield {name: values[row, segments == segment] for name, values in batch.items()}


def test_windows_of_users_hold_every_training_event_but_the_first_as_what_comes_next(world):
    data, config = world.data(), world.config("transformer")
    found = [
        (user, position)
        for one in segments_of(data, config, "user_index", "event_position")
        for user, position in zip(one[NEXT + "user_index"], one[NEXT + "event_position"], strict=True)
    ]
    records = data.train
    expected = sorted(zip(records["user_index"].tolist(), records["event_position"].tolist(), strict=True))
    first = dict(reversed(expected))
    assert sorted(found) == [pair for pair in expected if first[pair[0]] != pair[1]]


def test_windows_end_with_the_session_where_the_history_does(world):
    world.dataset("in_sessions", SESSIONS, history(within="session"))
    data, config = world.data("in_sessions"), world.config("transformer", dataset="in_sessions")
    seen = 0
    for one in segments_of(data, config, "user_index", "session_index"):
        both = [np.concatenate([one[name], one[NEXT + name]]) for name in ("user_index", "session_index")]
        assert all(len(set(values)) == 1 for values in both)
        seen += len(one["user_index"])
    counts = {}
    for pair in zip(data.train["user_index"].tolist(), data.train["session_index"].tolist(), strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    assert seen == sum(count - 1 for count in counts.values()) > 100


def test_windows_hold_positive_events_alone_where_the_history_does(world):
    world.dataset("of_positive", history(labels="positive"))
    data, config = world.data("of_positive"), world.config("transformer", dataset="of_positive")
    found = list(segments_of(data, config, "label"))
    assert found
    assert all((np.concatenate([one["label"], one[NEXT + "label"]]) > 0).all() for one in found)


def test_a_log_in_which_nobody_has_two_events_is_refused_in_one_line(world):
    world.dataset("short_sessions", "sessions={gap_minutes: 0.001}", history(within="session"))
    config = world.config("transformer", dataset="short_sessions")
    with pytest.raises(DataError, match=r"^[^\n]*: no session has two training events[^\n]*$"):
        whole_windows(world.data("short_sessions"), ["item_index"], config)


@pytest.mark.parametrize(
    ("overrides", "strategy", "message"),
    [
        (("train.input=stream",), "one", r"^train\.input=stream: transformer learns from whole windows[^\n]*$"),
        ((), "parameter-server", r"^--strategy parameter-server: [^\n]*transformer learns from whole windows[^\n]*$"),
    ],
)
def test_what_only_rows_of_events_can_do_is_refused_in_one_line(world, overrides, strategy, message):
    config = world.config("transformer", *overrides)
    with pytest.raises(ConfigError, match=message):
        open_source(world.data(), [], config, Placement(strategy))


@pytest.mark.slow
def test_a_run_stopped_at_any_step_ends_with_the_same_weights(world, tmp_path, monkeypatch):
    overrides = ("model.embedding_dim=8", "train.epochs=2", "train.batch_size=2000")
    config = world.config("transformer", *overrides)
    whole, stopped = JobDirectory(tmp_path / "whole"), JobDirectory(tmp_path / "stopped")
    run_job(config, whole, quiet_console())
    monkeypatch.setattr(steps, "CALL_SECONDS", 0.0)  # one step a call
    for calls in (2, 4):
        with pytest.raises(Stopped):
            run_job(config, stopped, quiet_console(), interrupt=AskedAfter(calls))
    run_job(config, stopped, quiet_console())
    require_same(state_of(whole), state_of(stopped))
    assert metrics_of(stopped) == pytest.approx(metrics_of(whole), nan_ok=True)
