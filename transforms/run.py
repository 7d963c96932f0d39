"""`python -m transforms.run`: logs + dataset.yaml → a dataset directory."""

from __future__ import annotations

import gc
import logging

from tfrec.command_line import ArgumentParser, leave, run_command
from transforms.stop import stop_on_signals

EXAMPLE = """\
example: python -m transforms.run --config ml-100k --input-dir LOGS --output DATASET
         python -m transforms.run --config dataset.yaml --input-dir LOGS --output DATASET --set split.strategy=temporal

Every other flag goes to Apache Beam, for example --runner=FlinkRunner --flink_master=host:8081
"""


def parser() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m transforms.run", example=EXAMPLE)
    flags.add_argument(
        "--config",
        required=True,
        help="a dataset.yaml, or a preset: ml-100k, ml-1m, movietweetings, libimseti, census-income, criteo, generated",
    )
    flags.add_argument("--input-dir", required=True, help="where the files named in the config are")
    flags.add_argument("--output", required=True, help="the dataset directory to write; an existing one is replaced")
    flags.add_argument("--base", metavar="DATASET", help="a dataset to go on from: its ids stay")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the config")
    flags.add_argument("--json", action="store_true", help="print the manifest to stdout")
    return flags


def main(arguments: list[str]) -> None:
    flags, beam_arguments = parser().parse_some(arguments)
    # Beam warns on import about a Google client library that is only needed on Google's cloud.
    logging.getLogger().addFilter(lambda record: "apitools not found" not in record.getMessage())
    logging.getLogger("apache_beam.runners").setLevel(logging.CRITICAL)  # what a step raises is raised here too
    stop_on_signals()
    from transforms.dataset import write_dataset
    from transforms.dataset_config import load_dataset_config

    gc.freeze()  # a million objects of TensorFlow and Beam that stay: the collector need not walk them again and again
    config = load_dataset_config(flags.config, tuple(flags.set))
    write_dataset(config, flags.input_dir, flags.output, beam_arguments, base=flags.base, print_manifest=flags.json)


if __name__ == "__main__":
    leave(run_command(main))
