"""The command line of each contender, and the dataset.yaml of `ours`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.transforms.log import EVENTS, TEST, VALIDATION

RECORD_BYTES, SHARD_BYTES = 170, 64 << 20  # so that all contenders write files of about the same size

DATASET = """\
name: speed
events:
  files: {events}
features:
  user_id: {{role: user, kind: categorical, id: true}}
  item_id: {{role: item, kind: categorical, id: true}}
  device: {{role: context, kind: categorical}}
  country: {{role: context, kind: categorical}}
  price: {{role: context, kind: numeric}}
{history}label: {{column: rating}}
timestamp: {{column: timestamp, unit: s}}
split: {{strategy: temporal, validation: {validation}, test: {test}}}
compression: {compression}
"""
HISTORY = "  history: {{role: user, kind: sequence, length: {length}}}\n"


@dataclass(frozen=True)
class Job:
    """What every contender is asked to do."""

    log: Path  # directory of events.csv
    about: dict[str, Any]  # of the log
    history: int  # length, 0 for none
    compression: str
    runner: str

    def command(self, contender: str, output: Path) -> list[str]:
        if contender == "ours":
            config = self.log / "dataset.yaml"
            history = HISTORY.format(length=self.history) if self.history else ""
            config.write_text(
                DATASET.format(
                    events=EVENTS, history=history, validation=VALIDATION, test=TEST, compression=self.compression
                )
            )
            return ["-m", "transforms.run", "--config", str(config), "--input-dir", str(self.log),
                    "--output", str(output), f"--runner={self.runner}"]  # fmt: skip
        width = RECORD_BYTES + 3 * self.history
        shards = max(1, -(-self.about["rows"] * width // SHARD_BYTES))
        arguments = {
            "log": self.log / EVENTS,
            "output": output,
            "validation-from": self.about["validation_from"],
            "test-from": self.about["test_from"],
            "history": self.history,
            "shards": shards,
            "compression": self.compression,
        }
        if contender == "plain":
            arguments["runner"] = self.runner
        flags = [f"--{name}={value}" for name, value in arguments.items()]
        return ["-m", f"benchmarks.transforms.{MODULES[contender]}", *flags]

    def check(self, output: Path) -> list[str]:
        return ["-m", "benchmarks.transforms.check", "--log", str(self.log / EVENTS), "--output", str(output),
                "--history", str(self.history)]  # fmt: skip


MODULES = {"plain": "plain_beam", "pyarrow": "arrow_only"}
IMPORTS = {
    "ours": "import transforms.run, transforms.dataset",
    "plain": "import benchmarks.transforms.plain_beam",
    "pyarrow": "import benchmarks.transforms.arrow_only",
}
