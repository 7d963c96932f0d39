"""The benchmark of ALS: our side runs at a tiny size, and a folder without the log is refused."""

import json
import sys

import numpy as np
import pytest

from benchmarks import als_speed
from benchmarks.quality import als_passes


def test_our_side_says_the_cpu_seconds_of_a_pass(tmp_path, monkeypatch, capsys):
    pairs = tmp_path / "pairs.tsv"
    users, items = np.divmod(np.random.default_rng(0).choice(40 * 30, 300), 30)  # repeats too
    pairs.write_text("".join(f"{user}\t{item}\t1\n" for user, item in zip(users, items, strict=True)))
    monkeypatch.setattr(sys, "argv", ["als_passes", "--pairs", str(pairs), "--dim", "4"])
    als_passes.main()
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"cpu_seconds_a_pass"}
    assert said["cpu_seconds_a_pass"] < 5


def test_a_folder_without_the_log_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["als_speed", "--data-dir", str(tmp_path), "--work-dir", str(tmp_path / "work")])
    with pytest.raises(SystemExit, match="2"):
        als_speed.main()
    assert "ml-1m.train.pairs.tsv is absent; name the folder of the logs with --data-dir" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
