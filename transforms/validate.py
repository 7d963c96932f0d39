"""`python -m transforms.validate`: may today's dataset follow yesterday's?"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from tfrec.command_line import ArgumentParser, run_command
from tfrec.config_file import load_config, parse_config
from tfrec.console import people_console
from tfrec.dataset.directory import DatasetDirectory
from transforms.compare.comparison import compare_datasets
from transforms.compare.judge import judge
from transforms.compare.limits import Limits
from transforms.compare.tables import print_comparison

EXAMPLE = """\
example: python -m transforms.validate YESTERDAY TODAY
         python -m transforms.validate YESTERDAY TODAY --set max_js=0.05 --html drift.html

Compares two dataset directories. Exit code 0: within the limits, 1: above one of them, 2: a mistake in the call.
The limits and their defaults:
""" + "".join(
    f"  {name}={json.dumps(key.default) if key.default != () else '[]'}  {key.description}\n"
    for name, key in Limits.model_fields.items()
)


def parser() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m transforms.validate", example=EXAMPLE)
    flags.add_argument("a", metavar="A", help="the dataset to compare with")
    flags.add_argument("b", metavar="B", help="the dataset in question")
    flags.add_argument("--limits", metavar="FILE", help="a YAML file of limits that differ from the defaults")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a limit")
    flags.add_argument("--html", metavar="PAGE", help="also write one page with both datasets' plots")
    flags.add_argument("--json", action="store_true", help="print the comparison to stdout")
    return flags


def main(arguments: list[str]) -> None:
    flags = parser().parse(arguments)
    limits = load_config(flags.limits, Limits, flags.set) if flags.limits else parse_config("", Limits, flags.set)
    a, b = DatasetDirectory(flags.a), DatasetDirectory(flags.b)
    comparison = compare_datasets(a, b)
    exceeded = judge(comparison, limits)
    console = people_console()
    print_comparison(console, comparison, exceeded)
    if flags.html:
        from transforms.page.write import write_page  # matplotlib takes a second to load

        write_page(Path(flags.html), [a, b], comparison, exceeded)
    if flags.json:
        content = {
            "within_limits": not exceeded,
            "exceeded": [dataclasses.asdict(found) for found in exceeded],
            "limits": limits.model_dump(mode="json"),
            **dataclasses.asdict(comparison),
        }
        json.dump(content, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    if exceeded:
        places = ", ".join(dict.fromkeys(found.where for found in exceeded))
        figures = (
            "1 figure is above its limit" if len(exceeded) == 1 else f"{len(exceeded)} figures are above their limits"
        )
        console.print(f"{flags.b}: {figures} ({places})", markup=False, soft_wrap=True)
        raise SystemExit(1)  # no error of this program: the answer is no
    console.print(f"{flags.b}: within all limits of {flags.a}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
