"""Each comparison of the benchmark: its data, its sides, its table."""

from __future__ import annotations

import statistics

from benchmarks.training.processes import run
from benchmarks.training.sides import Side, interleave, ours, peer
from benchmarks.training.table import epoch_table, plain_table, speed_table
from benchmarks.training.venvs import environment
from benchmarks.training.workplace import Bench
from tfrec.dataset.directory import DatasetDirectory

HIDDEN = "model.hidden_units=[256,128,64]"
PLAIN = ("model.embedding_dim=16", HIDDEN, "model.dropout=0", "model.input_dropout=0")
INPUT_CONFIG = """\
name: input
events: {files: events.csv}
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
  device: {role: context, kind: categorical}
  country: {role: context, kind: categorical}
  price: {role: context, kind: numeric}
label: {column: rating}
timestamp: {column: timestamp, unit: s}
split: {strategy: temporal, validation: 0.01, test: 0.01}
compression: none
"""
READERS = ("parsed", "shuffled")  # of input_speed.py, which loads TensorFlow
PEER_RATE = 0.003  # of Adam: better on validation than 0.001 for DeepCTR and RecBole, on both models
OUR_CHOICES = {  # by validation too
    "deepfm": ("train.learning_rate=0.01",),
    "wide_deep": (
        "train.learning_rate=0.001",
        "model.kernel_l2=0",
        "model.embedding_stddev=0.001",
    ),
}
DRAWN = "model.negatives={kind: popularity, n: 256}"  # for all rows of a batch
SEQUENCE_LENGTH = 50
IDS_ONLY = ("model.use_history=false", DRAWN)


def ranking(bench: Bench, model: str) -> str:
    """DeepFM or Wide & Deep on the ML-100K clicks."""
    dataset = bench.movielens("random")
    common = (*PLAIN, "train.batch_size=2048", "train.monitor=auc", *OUR_CHOICES[model], *bench.settings)

    speed = [ours("ours", dataset, model, bench.work, common, epochs=bench.epochs)]
    quality = [ours("ours", dataset, model, bench.work, common, epochs=bench.quality_epochs)]
    for name, environment_name, module in (
        ("DeepCTR", "tensorflow", "deepctr_ranking"),
        ("RecBole", "torch", "recbole_ranking"),
    ):
        if name.lower() in bench.peers:
            python, data = environment(environment_name, bench.work), bench.encoded(dataset, "set")
            arguments = ["--model", model, "--learning-rate", str(PEER_RATE)]
            fast = [*arguments, "--epochs", str(bench.epochs)]
            good = [*arguments, "--epochs", str(bench.quality_epochs), "--measure", "quality"]
            speed.append(peer(name, module, python, data, bench.work, fast))
            quality.append(peer(name, module, python, data, bench.work, good))
    interleave(speed, bench.repeat, bench.say)
    interleave(quality, 1, bench.say)
    title = (
        f"{model}, ML-100K clicks: 6 fields, 80 k rows, batch 2,048, embedding 16, MLP 256-128-64, no dropout, "
        f"{bench.epochs} epochs without the first"
    )
    return speed_table(
        title, speed, _found(quality, "test/auc", "auc"), f"test AUC, best of {bench.quality_epochs} epochs"
    )


def criteo(bench: Bench) -> str:
    """DeepFM on 26 categorical fields of up to a million values and 13 numbers."""
    dataset = bench.criteo_like(f"criteo-{bench.criteo_rows}", bench.criteo_rows)
    settings = (*PLAIN, "train.batch_size=4096", *bench.settings)
    sides = [ours("ours", dataset, "deepfm", bench.work, settings, epochs=2)]
    if "deepctr" in bench.peers:
        python, data = environment("tensorflow", bench.work), bench.encoded(dataset, "set")
        steps = min(30, int(bench.criteo_rows * 0.85) // 4096 - 10)
        arguments = ["--model", "deepfm", "--batch-size", "4096", "--max-steps", str(steps)]
        sides.append(peer("DeepCTR", "deepctr_ranking", python, data, bench.work, arguments))
    interleave(sides, bench.repeat, bench.say)
    title = (
        f"deepfm, generated Criteo-like log of {bench.criteo_rows:,} rows: 26 + 13 fields, batch 4,096, embedding 16; "
        "ours the second of two epochs, DeepCTR 30 steps after 10 (its steps cost the same from then on)"
    )
    return speed_table(title, sides, _found(sides[:1], "test/auc"), "test AUC after two epochs")


def two_tower(bench: Bench) -> str:
    """The two-tower model against the TFRS tutorial's."""
    dataset = bench.movielens("leave_one_out")
    tables = []
    for batch in (2048, 8192):
        settings = ("model.embedding_dim=64", f"train.batch_size={batch}", *bench.settings)
        sides = [
            ours(name, dataset, "two_tower", bench.work, (*settings, *more), epochs=bench.epochs)
            for name, more in (
                ("ours, ids only, 256 negatives drawn", IDS_ONLY),
                ("ours, ids only, negatives of the batch", IDS_ONLY[:1]),
                ("ours, history, 256 negatives drawn", IDS_ONLY[1:]),
            )
        ]
        if "tfrs" in bench.peers:
            python, data = environment("tensorflow", bench.work), bench.encoded(dataset, "pairs")
            flags = ["--model", "two_tower", "--batch-size", str(batch)]
            for name, more in (
                ("TFRS tutorial, metrics out of the training step", ["--no-train-metrics"]),
                ("TFRS tutorial, as published", ["--epochs", "2"]),  # its epochs take minutes
            ):
                sides.append(peer(name, "tfrs_tutorial", python, data, bench.work, [*flags, *more]))
        interleave(sides, bench.repeat, bench.say)
        title = f"two_tower, ML-100K, 98 k rows, embedding 64, batch {batch:,}; epochs without the first"
        tables.append(speed_table(title, sides, _found(sides[3:], "ndcg_at_10"), "test NDCG@10 of the tutorial"))
    return "\n".join(tables)


def retrieval_quality(bench: Bench) -> str:
    """NDCG@10 on test, leave-one-out, full ranking, seen items excluded; every side chooses its epoch on validation."""
    dataset = bench.movielens("leave_one_out")
    patient = ("model.embedding_dim=64", "train.batch_size=2048", "train.epochs=80", "train.patience=15", *IDS_ONLY)
    sides = [
        ours("two_tower, default", dataset, "two_tower", bench.work, bench.settings),
        ours("two_tower, ids only, as timed", dataset, "two_tower", bench.work, (*patient, *bench.settings)),
    ]
    key = {side.name: "test/ndcg_at_10" for side in sides}
    if "recbole" in bench.peers:
        python, data = environment("torch", bench.work), bench.encoded(dataset, "pairs")
        sides.append(peer("RecBole BPR", "recbole_bpr", python, data, bench.work, ["--model", "bpr"]))
        key["RecBole BPR"] = "ndcg_at_10"
    interleave(sides, 1, bench.say)
    rows = [(side.name, f"{side.median(key[side.name]):.4f}") for side in sides]
    return plain_table("NDCG@10, ML-100K leave-one-out", ("side", "test"), rows)


def sequences(bench: Bench) -> str:
    """The transformer against SASRec: an example is an event that is predicted from those before it, on both sides."""
    dataset = bench.movielens("leave_one_out", f"features.history.length={SEQUENCE_LENGTH}")
    settings = ("model.embedding_dim=64", f"model.length={SEQUENCE_LENGTH}", "model.encoder={layers: 2, heads: 2}",
                "evaluation.baselines=[]", *bench.settings)  # fmt: skip
    rows = DatasetDirectory(dataset).rows
    predicted = rows("train") - rows("users")  # nothing comes before a user's first event
    sides = [
        ours("ours, transformer", dataset, "transformer", bench.work, settings, epochs=bench.epochs, examples=predicted)
    ]
    if "recbole" in bench.peers:
        python, data = environment("torch", bench.work), bench.encoded(dataset, "pairs")
        # Its epochs take minutes, and all of its steps cost the same.
        arguments = ["--model", "sasrec", "--max-steps", "12", "--length", str(SEQUENCE_LENGTH)]
        sides.append(peer("RecBole SASRec", "recbole_sequences", python, data, bench.work, arguments))
    interleave(sides, bench.repeat, bench.say)
    title = (
        f"transformer, ML-100K sequences, length {SEQUENCE_LENGTH}, embedding 64, 2 layers, 2 heads, full softmax; "
        "an example is an event that is predicted; ours without the first epoch, RecBole 12 steps of 2,048 after 10; "
        "ours reads an event once for all that is predicted from it, RecBole once for each"
    )
    speed = speed_table(title, sides, _found(sides[:1], "test/ndcg_at_10"), "test NDCG@10 after these epochs")
    return speed + "\n" + epoch_table("An epoch in which every event but each user's first is predicted once", sides)


def reading(bench: Bench) -> str:
    """tf.data alone."""
    log = bench.written(f"log-{bench.input_rows}", "benchmarks.transforms.log", "--rows", str(bench.input_rows))
    config = bench.work / "input.yaml"
    config.write_text(INPUT_CONFIG, encoding="utf-8")
    sides = []
    for packed in (1, 1024):
        dataset = bench.dataset(f"input-{bench.input_rows}-{packed}", str(config), log, f"rows_per_record={packed}")
        for how in READERS:
            command = ["-m", "benchmarks.training.input_speed", "--dataset", str(dataset), "--how", how]
            name = f"{packed:,} rows a record, {how}"
            sides.append(Side(name, lambda _, c=command: run(c, bench.work / "input.log")))  # type: ignore[misc]
    interleave(sides, bench.repeat, bench.say)
    rows = [
        (side.name, *(f"{statistics.median(side.values(key)):,.0f}" for key in RATES))
        for side in sides
    ]  # fmt: skip
    title = f"Input alone: {bench.input_rows:,} rows of 7 columns, uncompressed TFRecords, batches of 2,048"
    return plain_table(title, ("records", "rows/s", "rows per CPU s"), rows)


RATES = ("examples_per_second", "examples_per_cpu_second")


def tables(bench: Bench) -> str:
    """A step of DeepFM with 0.6 M and with 6 M rows in its tables."""
    rows = []
    for table_rows in (600_000, 6_000_000):
        dataset = bench.criteo_like(f"tables-{table_rows}", 120_000, "--table-rows", str(table_rows))
        settings = (*PLAIN, "train.batch_size=4096", *bench.settings)
        overrides = [part for setting in settings for part in ("--set", setting)]
        command = ["-m", "benchmarks.training.keras_adam", "--dataset", str(dataset), *overrides]
        trained = ours("adam", dataset, "deepfm", bench.work, settings, epochs=4)
        keras = Side("Keras' Adam", lambda _, c=command: run(c, bench.work / "keras_adam.log"))  # type: ignore[misc]
        interleave([trained, keras], bench.repeat, bench.say)
        own = 4096 / statistics.median(trained.values("examples_per_second"))
        rows.append((own, statistics.median(keras.values("step_seconds"))))
    cells = []
    for index, name in enumerate(("ours, adam (rows of the batch)", "Keras' Adam")):
        few, many = (found[index] * 1000 for found in rows)
        cells.append((name, f"{few:.1f}", f"{many:.1f}", f"{many / few:.2f}"))
    title = "A step of deepfm, 26 + 13 fields, batch 4,096, embedding 16, MLP 256-128-64; ms"
    return plain_table(title, ("optimiser", "0.6 M rows", "6 M rows", "ratio"), cells)


def _found(sides: list[Side], *keys: str) -> dict[str, str]:
    """Side → its median of the first of these keys that it has."""
    medians = {side.name: [side.median(key) for key in keys if side.values(key)] for side in sides}
    return {name: f"{values[0]:.4f}" for name, values in medians.items() if values}
