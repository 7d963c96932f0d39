"""`python -m trainer.ablate`: what context, time and order are worth to a model, by training it again without them."""

from __future__ import annotations

import json
import sys

from tfrec.command_line import ArgumentParser, run_command
from trainer.training.interrupt import stop_on_sigterm

WHATS = ("context", "time", "order")
EXAMPLE = """\
example: python -m trainer.ablate --job-dir JOB
         python -m trainer.ablate --job-dir JOB1 JOB2 JOB3 --what time,order --time hour --output ABLATION --json

Trains the config of a job again without context, without time, without order, and compares test metrics user by user.
Jobs that differ in the seed alone are one model. The same command again goes on with what is not yet trained.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.ablate", example=EXAMPLE)
    flags.add_argument("--job-dir", required=True, nargs="+", metavar="JOB", help="jobs of python -m trainer.task")
    flags.add_argument("--what", help="some of context, time, order; by default all that the model reads")
    flags.add_argument("--time", default="", help="features that tell the time of a request, such as hour,weekday")
    flags.add_argument("--metric", help="of the tests, such as recall_at_20; by default the job's own")
    flags.add_argument("--output", help="directory for the retrained jobs; by default ablation/ in the first job")
    flags.add_argument("--json", action="store_true", help="print the figures to stdout")
    chosen = flags.parse(arguments)
    wanted = [name for name in (chosen.what or "").split(",") if name]
    if unknown := [name for name in wanted if name not in WHATS]:
        flags.error(f"--what: {', '.join(unknown)}; allowed: {', '.join(WHATS)}")

    from pathlib import Path

    import tensorflow as tf
    from rich.console import Console

    from tfrec.console import line_printer, people_console
    from trainer.ablation.retrain import require_one_config, retrained, to_take_away
    from trainer.ablation.table import as_json, as_table, rows
    from trainer.job import JobDirectory
    from trainer.report.results import JobResults

    tf.get_logger().setLevel("ERROR")  # every job traces anew, which is no reason to warn
    console = people_console()
    jobs = [JobResults(JobDirectory(path)) for path in chosen.job_dir]
    require_one_config(jobs)
    tells_time = [name for name in chosen.time.split(",") if name]
    taken = to_take_away(jobs[0].config, jobs[0].data, tells_time, wanted)
    output = Path(chosen.output) if chosen.output else jobs[0].job.path / "ablation"
    quiet, say = Console(quiet=True), line_printer(console)
    parts = {ablation: [retrained(job, ablation, output, quiet, say) for job in jobs] for ablation in taken}
    metric, found = rows(jobs, parts, chosen.metric)
    console.print(as_table(metric, found))
    if chosen.json:
        json.dump(as_json(metric, found), sys.stdout, indent=2)
        print()


if __name__ == "__main__":
    stop_on_sigterm("ablation")
    sys.exit(run_command(main))
