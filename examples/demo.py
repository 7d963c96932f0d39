"""`make demo`: the whole way, as the commands that a user would type. Nothing here but their order.

log → Beam → TFRecords → two-tower and DeepFM → SavedModels → model server → recommendations over gRPC.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

CONSOLE = Console(stderr=True, highlight=False)
# A user of each log whose recommendations are shown.
USERS = {"generated": "u00042", "ml-100k": "42", "ml-1m": "42", "movietweetings": "42"}
RETRIEVAL, RANKER = "two_tower", "deepfm"
SERVER_START_SECONDS = 120

# Without them `ease` would be tuned too, which takes minutes on ten thousand items.
QUICK = ("--set", "evaluation.baselines=[popularity, item_knn]", "--set", "evaluation.baseline_trials=5")


def main() -> int:
    flags = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    flags.add_argument("--dataset", default="generated", choices=sorted(USERS))
    flags.add_argument("--data-dir", help="where the files of a real log are")
    flags.add_argument("--seed", default="1")
    flags.add_argument("--runs", type=Path, default=Path("runs"), help="where everything goes")
    chosen = flags.parse_args()
    if chosen.dataset != "generated" and not chosen.data_dir:
        print(f"demo: DATASET={chosen.dataset} needs DATA_DIR=<where its files are>", file=sys.stderr)
        return 2
    started = time.perf_counter()
    home = chosen.runs / chosen.dataset
    shutil.rmtree(home, ignore_errors=True)
    try:
        logs = prepare_log(chosen.dataset, chosen.data_dir, home, chosen.seed)
        train(chosen.dataset, logs, home, chosen.seed)
        ask(chosen.dataset, logs, home)
    except subprocess.CalledProcessError as error:
        return error.returncode
    CONSOLE.print(f"[bold]done[/] in {time.perf_counter() - started:.0f} s; everything is in {home}")
    return 0


def prepare_log(dataset: str, data_dir: str | None, home: Path, seed: str) -> str:
    """The directory of the log: the user's own, or one that is generated now."""
    if data_dir:
        return data_dir
    run("transforms.generate", "--output", str(home / "logs"), "--seed", seed)
    return str(home / "logs")


def train(dataset: str, logs: str, home: Path, seed: str) -> None:
    encoded = str(home / "dataset")
    run("transforms.run", "--config", dataset, "--input-dir", logs, "--output", encoded)
    for model in (RETRIEVAL, RANKER):
        job = str(home / model)
        run("trainer.task", "--dataset", encoded, "--model", model, "--job-dir", job, "--seed", seed, *QUICK)


def ask(dataset: str, logs: str, home: Path) -> None:
    """Serve both models and ask for one user, over gRPC."""
    config = home / "models.config"
    models = "".join(
        f'  config {{ name: "{model}" model_platform: "tensorflow" base_path: "{base_path(home, model)}" }}\n'
        for model in (RETRIEVAL, RANKER)
    )
    config.write_text(f"model_config_list {{\n{models}}}\n")
    port = free_port()
    address = f"localhost:{port}"
    with (home / "server.log").open("w") as log:
        command = module("serving.server", f"--model_config_file={config}", f"--port={port}")
        echo(command, "&")
        server = subprocess.Popen(command, stderr=log)
        try:
            wait_for(server, port, home / "server.log")
            user = USERS[dataset]
            run("serving.recommend", "--server", address, "--model", RETRIEVAL, "--user", user, "--k", "10")
            ranked = ["--model", RETRIEVAL, "--ranker", RANKER, "--user", user, "--k", "10"]
            run("serving.recommend", "--server", address, *ranked)
            if dataset == "generated":
                tell_the_truth(Path(logs), user, address)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)


def base_path(home: Path, model: str) -> Path:
    """Where the versions of an exported model are."""
    return (home / model / "export" / model).resolve()


def tell_the_truth(logs: Path, user: str, address: str) -> None:
    """How much of the first list is what was planted for the user."""
    favourite = column(logs / "truth.csv", "user_id", "favourite_genre")[user]
    genres = column(logs / "items.csv", "item_id", "genres")
    ask_again = module("serving.recommend", "--server", address, "--model", RETRIEVAL, "--user", user, "--json")
    items = json.loads(subprocess.run(ask_again, check=True, capture_output=True).stdout)["items"]
    of_favourite = [item for item in items if favourite in genres[item["id"]].split("|")]
    share = sum(favourite in found.split("|") for found in genres.values()) / len(genres)
    CONSOLE.print(
        f"\nplanted: user {user}'s favourite genre at the end of the log is [bold]{favourite}[/]; "
        f"{len(of_favourite)} of the {len(items)} items that {RETRIEVAL} recommends are of it "
        f"(of all items: {share:.0%})",
        soft_wrap=True,
    )


def column(path: Path, key: str, value: str) -> dict[str, str]:
    """Two columns of a CSV file, as a mapping."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row[key]: row[value] for row in csv.DictReader(file)}


def run(name: str, *arguments: str) -> None:
    command = module(name, *arguments)
    echo(command)
    sys.stdout.flush()
    subprocess.run(command, check=True)


def module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def echo(command: list[str], suffix: str = "") -> None:
    CONSOLE.print(f"\n[bold cyan]$[/] python {escape(shlex.join(command[1:]))} {suffix}", soft_wrap=True)


def free_port() -> int:
    """TF Serving's own port where it is free, else any."""
    for wanted in (8500, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("localhost", wanted))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise OSError("no free port")


def wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until the port is open: the server opens it once its models are loaded."""
    deadline = time.monotonic() + SERVER_START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            print(log.read_text(), file=sys.stderr)
            raise subprocess.CalledProcessError(server.returncode, server.args)
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"the server did not start within {SERVER_START_SECONDS} s; see {log}")


if __name__ == "__main__":
    sys.exit(main())
