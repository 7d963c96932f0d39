"""`python -m benchmarks.gpu`: DeepFM, two towers and the packed input pipeline on the GPUs of this machine.

For each model, a minute each: the input alone, steps on a batch that is there already, and training. The datasets are
generated; nothing is downloaded. Several GPUs train one model together, each on its share of the batch.

example: python -m benchmarks.gpu
         python -m benchmarks.gpu --precision bfloat16 --xla --batch-size 65536
         python -m benchmarks.gpu --logical-devices 2 --seconds 5 --rows 100000    rehearse where there is no GPU
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.training.processes import make, run
from benchmarks.training.table import plain_table

TWO_TOWER_CONFIG = """\
name: two-tower
events: {files: events.csv}
features:
  user_id: {role: user, kind: categorical, id: true}
  history: {role: user, kind: sequence, length: 20}
  item_id: {role: item, kind: categorical, id: true}
label: {column: rating, threshold: 4}
timestamp: {column: timestamp, unit: s}
split: {strategy: temporal, validation: 0.02, test: 0.02}
rows_per_record: 1024
compression: none
"""
MODEL_SETTINGS = {
    "deepfm": ("model.embedding_dim=16", "model.hidden_units=[256,128,64]", "model.dropout=0", "model.input_dropout=0"),
    "two_tower": ("model.embedding_dim=64",),
}
HEADS = ("model", "devices", "batch", "examples/s", "step ms", "step alone ms", "input alone ms", "utilisation",
         "waits for")  # fmt: skip


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--models", default="deepfm,two_tower")
    flags.add_argument("--seconds", type=float, default=60, help="of each measurement")
    flags.add_argument("--rows", type=int, default=2_000_000, help="of each generated log")
    flags.add_argument("--batch-size", type=int, default=16_384, help="of all devices together")
    flags.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    flags.add_argument("--xla", action="store_true", help="compile the step")
    flags.add_argument("--logical-devices", type=int, default=0, metavar="N", help="parts of the CPU instead of GPUs")
    flags.add_argument("--work-dir", type=Path, help="keeps the datasets; a temporary directory by default")
    chosen = flags.parse_args()
    models = chosen.models.split(",")
    if unknown := set(models) - set(MODEL_SETTINGS):
        flags.error(f"--models: {', '.join(sorted(unknown))}; choose of {', '.join(MODEL_SETTINGS)}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if not chosen.logical_devices and not has_gpu():
        print(
            "benchmarks.gpu: TensorFlow sees no GPU; --logical-devices 2 rehearses on parts of the CPU", file=sys.stderr
        )
        sys.exit(2)
    with tempfile.TemporaryDirectory() as temporary:
        work = (chosen.work_dir or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        found = [measure(model, chosen, work) for model in models]
    print(plain_table("Training", HEADS, [row(result) for result in found]))
    print("\n".join(statement(result) for result in found))


def has_gpu() -> bool:
    """Asked in a process of its own, so that this one holds no memory of the GPU."""
    code = "import json, tensorflow as tf; print(json.dumps({'gpus': len(tf.config.list_physical_devices('GPU'))}))"
    return bool(run(["-c", code], Path(os.devnull)).said["gpus"])


def measure(model: str, chosen: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One model in a process of its own: a process can have one distribution strategy."""
    dataset = write_dataset(model, chosen.rows, work)
    settings = (*MODEL_SETTINGS[model], f"train.batch_size={chosen.batch_size}", f"train.precision={chosen.precision}",
                f"train.xla={str(chosen.xla).lower()}")  # fmt: skip
    sets = [part for setting in settings for part in ("--set", setting)]
    command = ["-m", "benchmarks.training.device_run", "--dataset", str(dataset), "--model", model,
               "--seconds", str(chosen.seconds), "--logical-devices", str(chosen.logical_devices)]  # fmt: skip
    print(f"{model}: measuring", file=sys.stderr, flush=True)
    return run([*command, *sets], work / f"{model}.log").said


def write_dataset(model: str, rows: int, work: Path) -> Path:
    """A generated dataset of packed records for this model."""

    def log(target: Path) -> None:
        if model == "deepfm":
            run(["-m", "benchmarks.training.criteo", "--rows", str(rows), "--rows-per-record", "1024",
                 "--output", str(target)], work / "log.log")  # fmt: skip
        else:
            run(["-m", "benchmarks.transforms.log", "--rows", str(rows), "--output", str(target)], work / "log.log")
            (target / "dataset.yaml").write_text(TWO_TOWER_CONFIG, encoding="utf-8")

    logs = make(work / f"{model}-{rows}-log", log)
    command = ["-m", "transforms.run", "--config", str(logs / "dataset.yaml"), "--input-dir", str(logs), "--output"]

    def dataset(target: Path) -> None:
        run([*command, str(target)], work / "transforms.log")

    return make(work / f"{model}-{rows}", dataset)


def row(found: dict[str, Any]) -> tuple[str, ...]:
    milliseconds = [f"{found[f'{part}_seconds'] * 1000:.2f}" for part in ("both", "step", "input")]
    rate = f"{found['batch_size'] / found['both_seconds']:,.0f}"
    return (found["model"], str(found["replicas"]), f"{found['batch_size']:,}", rate, *milliseconds,
            found["utilisation"], found["bound_by"])  # fmt: skip


def statement(found: dict[str, Any]) -> str:
    """How far the step alone is from what arithmetic and memory allow."""
    least = {"arithmetic": found["arithmetic_seconds"], "table traffic": found["traffic_seconds"]}
    limit = max(least, key=least.__getitem__)
    share = least[limit] / found["step_seconds"]
    parts = (
        f"{found['model']}: {found['flops_per_example'] / 1e6:.2f} MFLOP and",
        f"{found['table_bytes_per_example'] / 1e3:.1f} kB of table rows an example. A device multiplies at",
        f"{found['device_flops'] / 1e12:.2f} TFLOP/s and copies at {found['device_bytes'] / 1e9:.0f} GB/s here,",
        f"so a step takes at least {least['arithmetic'] * 1000:.2f} ms by arithmetic and",
        f"{least['table traffic'] * 1000:.2f} ms by table traffic. Alone it reaches {share:.0%} of the {limit} bound;",
        "the rest is launches, exchange between devices and other operations. Packed input alone:",
        f"{found['batch_size'] / found['input_seconds']:,.0f} rows/s.",
    )
    return " ".join(parts)


if __name__ == "__main__":
    main()
