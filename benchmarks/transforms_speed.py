"""`python -m benchmarks.transforms_speed`: CSV log → shuffled TFRecords on one core, ours against plain Beam.

Seven columns, four of them with vocabularies. Every contender is a process of its own, from the start of Python to the
last byte written; what it wrote is then compared with the log, and a benchmark whose output is wrong fails.

example: python -m benchmarks.transforms_speed --rows 5000000 --repeat 3 --work-dir /tmp/speed
         python -m benchmarks.transforms_speed --rows 20000000 --what ours --work-dir /tmp/speed
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from benchmarks.transforms import measure
from benchmarks.transforms.contenders import IMPORTS, Job
from benchmarks.transforms.report import Result, print_table

# What `DirectRunner` is where Beam cannot download its Prism runner: it runs in the measured process alone, and is the
# same with and without a network.
RUNNER = "FnApiRunner"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--rows", type=int, default=5_000_000)
    flags.add_argument("--plain-rows", type=int, default=200_000, help="rows for the plain pipeline, which is slow")
    flags.add_argument("--history", type=int, default=0, metavar="LENGTH", help="also the user's last items")
    flags.add_argument("--what", default="ours,plain", help="some of ours,plain,pyarrow")
    flags.add_argument("--compression", choices=("none", "gzip"), default="none")
    flags.add_argument("--runner", default=RUNNER, help="of Beam")
    flags.add_argument("--repeat", type=int, default=3)
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--work-dir", type=Path, required=True, help="for logs (kept) and datasets (removed)")
    flags.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = flags.parse_args()
    what = chosen.what.split(",")
    if unknown := set(what) - set(IMPORTS):
        flags.error(f"--what: {', '.join(sorted(unknown))}; choose of {', '.join(IMPORTS)}")
    measure.pin_to_one_core()
    results = []
    for contender in what:
        rows = min(chosen.rows, chosen.plain_rows) if contender == "plain" else chosen.rows
        log = write_log(chosen.work_dir, rows, chosen.seed)
        about = json.loads((log / "about.json").read_text())
        job = Job(log, about, chosen.history, chosen.compression, chosen.runner)
        results.append(run(contender, job, chosen.work_dir, chosen.repeat))
    if chosen.json:
        plain = next((result for result in results if result.contender == "plain"), None)
        json.dump([result.to_json(plain) for result in results], sys.stdout, indent=2)
    else:
        history = f"history of {chosen.history}" if chosen.history else "no history"
        print_table(results, f"CSV → TFRecords, {history}, compression {chosen.compression}")


def write_log(work: Path, rows: int, seed: int) -> Path:
    """The directory of the log, which is written unless an earlier run left it."""
    log = work / f"log-{rows}-{seed}"
    if not (log / "about.json").exists():
        say(f"writing a log of {rows:,} rows")
        measure.run(["-m", "benchmarks.transforms.log", "--rows", str(rows), "--seed", str(seed), "--output", str(log)])
    return log


def run(contender: str, job: Job, work: Path, repeat: int) -> Result:
    """Measure a contender `repeat` times; check what the last run wrote, and remove it."""
    output, log = work / contender, work / f"{contender}.log"
    usages = []
    for number in range(repeat):
        shutil.rmtree(output, ignore_errors=True)
        say(f"{contender}: {job.about['rows']:,} rows, run {number + 1} of {repeat}")
        usages.append(measure.measure(job.command(contender, output), log))
    imports = measure.measure(["-c", IMPORTS[contender]], work / f"{contender}-imports.log")
    written = sum(measure.bytes_below(output / part) for part in ("train", "validation", "test"))
    say(f"{contender}: checking")
    checked = json.loads(measure.run(job.check(output)))
    if checked["wrong"]:
        sys.exit(f"benchmarks: {contender} wrote a wrong dataset, see {output}:\n" + "\n".join(checked["wrong"]))
    result = Result(contender, job.about["rows"], tuple(usages), imports, written, checked)
    if contender != "plain" and not result.is_shuffled:  # the plain pipeline does not shuffle on the DirectRunner
        sys.exit(f"benchmarks: {contender} wrote records in the order of time, see {output}")
    shutil.rmtree(output)
    return result


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
