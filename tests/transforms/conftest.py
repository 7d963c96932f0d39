"""Logs on disk and the datasets that the transforms make of them; the shop's datasets are written once a session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.transforms.shop_log import SHOP_YAML, write_shop
from tests.transforms.two_days import rows_of, write
from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig

# Two columns, no time: the least that is a log.
PAIRS_YAML = """\
name: pairs
events: {files: "events*"}
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
split: {strategy: leave_one_out}
"""


class Workshop:
    """One directory with logs in `in/` and a dataset in `out/`."""

    def __init__(self, root: Path) -> None:
        self.input, self.output = root / "in", root / "out"
        self.input.mkdir(parents=True)

    def log(self, **files: str | bytes) -> Workshop:
        """Write files; `events="…"` becomes events.csv."""
        for name, content in files.items():
            (self.input / f"{name}.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def run(self, yaml: str = PAIRS_YAML, overrides: Sequence[str] = (), arguments: Sequence[str] = ()) -> dict:
        """Write the dataset in this process and return its manifest."""
        config = parse_config(yaml, DatasetConfig, overrides, source="dataset.yaml")
        return write_dataset(config, str(self.input), str(self.output), list(arguments))

    @property
    def dataset(self) -> DatasetDirectory:
        return DatasetDirectory(self.output)

    def names(self) -> set[str]:
        """What stands beside the input."""
        return {path.name for path in self.input.parent.iterdir()} - {"in"}


@pytest.fixture
def workshop(tmp_path) -> Workshop:
    return Workshop(tmp_path / "workshop")


@pytest.fixture
def pairs_yaml() -> str:
    return PAIRS_YAML


SPLITS = {
    "leave_one_out": "split={strategy: leave_one_out}",
    "temporal": "split={strategy: temporal, validation: 0.1, test: 0.2}",
    "random": "split={strategy: random, validation: 0.15, test: 0.25, seed: 7}",
}


@pytest.fixture(scope="session")
def shops(tmp_path_factory):
    """Strategy → the workshop of the shop's log, split by it; each is run once."""
    done: dict[str, Workshop] = {}

    def get(strategy: str) -> Workshop:
        if strategy not in done:
            shop = Workshop(tmp_path_factory.mktemp(f"shop_{strategy}") / "shop")
            write_shop(shop.input)
            shop.run(SHOP_YAML, [SPLITS[strategy]])
            done[strategy] = shop
        return done[strategy]

    return get


@pytest.fixture(scope="session")
def days(tmp_path_factory):
    """The datasets of two days that are compared."""
    root = tmp_path_factory.mktemp("days")
    return [write(root / f"day{day}", rows_of(day, 1500 - 300 * day)) for day in (0, 1)]


@pytest.fixture(scope="module", autouse=True)
def _loaded(loaded_processes):
    """Many of these tests start commands."""
