"""The benchmarks of training run from end to end at a tiny size: our side, and the devices on parts of the CPU."""

import os
import subprocess
import sys

import pytest

from benchmarks import training_speed
from benchmarks.training.peers.clock import WARM_UP_STEPS, EpochClock, timed_part
from benchmarks.training.roofline import Cost, bound_by, mlp_flops, ranking_cost, two_tower_cost
from benchmarks.training.table import spread


def run(module, *arguments, expected=0):
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == expected, done.stderr
    return done


def test_the_flops_of_an_mlp_are_six_a_weight():
    # Forward a multiplication and an addition for each weight; backward the same for its gradient and for its input's.
    weights = 96 * 256 + 256 * 128 + 128 * 64 + 64 * 1
    assert mlp_flops([96, 256, 128, 64, 1]) == 6 * weights == 393_600


def test_the_cost_of_a_model_follows_its_shapes():
    assert ranking_cost(6, 16, [256, 128, 64]) == Cost(393_600, 6 * 17 * 4 * 9)
    assert two_tower_cost(history=20, dim=64, candidates=1000) == Cost(6 * 1000 * 64, 22 * 64 * 4 * 9)
    assert Cost(1e6, 2e3).least_seconds(1000, 1e12, 1e9) == pytest.approx((1e-3, 2e-3))


@pytest.mark.parametrize(
    ("input_seconds", "step_seconds", "both_seconds", "bound"),
    [(2.0, 1.0, 2.1, "input"), (1.0, 2.0, 2.1, "step"), (1.0, 1.0, 2.0, "input and step do not overlap")],
)
def test_what_training_waits_for(input_seconds, step_seconds, both_seconds, bound):
    assert bound_by(input_seconds, step_seconds, both_seconds) == bound


def test_figures_are_medians_with_their_range():
    assert spread([1000.0]) == "1,000"
    assert spread([3.0, 1.0, 2.5], digits=1) == "2.5 (1.0–3.0)"
    assert spread([]) == ""


def test_a_part_of_an_epoch_is_timed_behind_its_warm_up():
    clock, told = EpochClock(), []
    for batch in timed_part(iter(range(1000)), clock, 3):
        told.append((batch, clock.begun is not None))
    assert told == [(batch, batch >= WARM_UP_STEPS) for batch in range(WARM_UP_STEPS + 3)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--what", "deepfn"), "deepfn"), (("--peers", "torchrec"), "torchrec")],
)
def test_an_unknown_comparison_or_library_is_named(tmp_path, monkeypatch, capsys, arguments, named):
    monkeypatch.setattr(sys, "argv", ["training_speed", "--work-dir", str(tmp_path), *arguments])
    with pytest.raises(SystemExit, match="2"):
        training_speed.main()
    assert named in capsys.readouterr().err.splitlines()[-1]


def test_without_a_gpu_it_says_so_in_one_line():
    done = run("benchmarks.gpu", expected=2)
    assert done.stderr.splitlines() == [
        "benchmarks.gpu: TensorFlow sees no GPU; --logical-devices 2 rehearses on parts of the CPU"
    ]


@pytest.mark.slow
def test_the_comparisons_without_other_data_run_for_our_side(tmp_path):
    done = run("benchmarks.training_speed", "--work-dir", tmp_path, "--what", "criteo,input", "--peers", "",
               "--repeat", 1, "--criteo-rows", 5_000, "--input-rows", 5_000)  # fmt: skip
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ours") or "rows a record" in line]
    assert len(rows) == 5
    for line in rows:
        assert float(line.split("|")[2].replace(",", "")) > 0


@pytest.mark.slow
def test_the_gpu_benchmark_rehearses_on_two_parts_of_the_cpu(tmp_path):
    done = run("benchmarks.gpu", "--logical-devices", 2, "--seconds", 1, "--rows", 20_000, "--batch-size", 512,
               "--work-dir", tmp_path)  # fmt: skip
    for model in ("deepfm", "two_tower"):
        cells = next(line for line in done.stdout.splitlines() if line.startswith(f"| {model} ")).split("|")
        assert [cell.strip() for cell in cells[2:4]] == ["2", "512"]
        assert all(float(cell.replace(",", "")) > 0 for cell in cells[4:8])
        assert f"{model}: " in done.stdout
