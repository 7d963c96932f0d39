"""`python -m trainer.evaluate`: the metrics of a trained job, again, by another protocol, or on another dataset."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from tfrec.command_line import ArgumentParser, run_command
from tfrec.errors import ConfigError

if TYPE_CHECKING:  # these load TensorFlow, and --help should not
    from trainer.config import JobConfig
    from trainer.job import JobDirectory

MANIFEST = "manifest.json"  # of a dataset
EXAMPLE = """\
example: python -m trainer.evaluate --job-dir JOB
         python -m trainer.evaluate --job-dir JOB --protocol sasrec --set evaluation.negatives.seed=2 --output SAMPLED
         python -m trainer.evaluate --job-dir JOB --dataset OTHER --json

Evaluates the best weights of a job, by the protocol that it was evaluated by if no other is asked for. Nothing is
written without --output.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.evaluate", example=EXAMPLE)
    flags.add_argument("--job-dir", required=True, help="a job of python -m trainer.task")
    flags.add_argument("--dataset", help="another dataset with the same vocabularies and items")
    flags.add_argument("--protocol", help="a preset: ncf, sasrec, topn")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="evaluation.ks=[1,10] and so on")
    flags.add_argument("--output", help="directory for metrics.json and predictions/; JOB itself to replace its own")
    flags.add_argument("--json", action="store_true", help="print the metrics to stdout")
    chosen = flags.parse(arguments)

    from tfrec.console import line_printer, people_console
    from trainer.evaluation.choices import require_choices
    from trainer.evaluation.metrics import evaluate_job
    from trainer.evaluation.presets import changed
    from trainer.evaluation.protocol import require_protocol
    from trainer.evaluation.table import print_metrics
    from trainer.job import JobDirectory
    from trainer.model import load_model
    from trainer.request.files import identity

    job, console = JobDirectory(chosen.job_dir), people_console()
    model, data, config = load_model(job, chosen.dataset)
    evaluation = changed(config.evaluation, chosen.protocol, chosen.set)
    config = config.model_copy(update={"evaluation": evaluation})
    if data.dataset.fingerprint != config.dataset_fingerprint:
        chosen_files: dict[str, Any] = {"train_files": (), "eval_files": ()}
        config = config.model_copy(update={**chosen_files, **identity(data.dataset)})
    require_protocol(evaluation, model.task, data.dataset)
    require_choices(job.baselines, data.dataset, evaluation)
    output = _output(chosen.output, job, config) if chosen.output else None
    trained = _of_training(job)
    metrics = evaluate_job(model, data, evaluation, output, choices=job.baselines, say=line_printer(console))
    content = {**metrics, **trained, "protocol": metrics["protocol"]}
    if output is not None:
        output.write_metrics(content)
    print_metrics(console, config.model_name, content)
    if chosen.json:
        json.dump(content, sys.stdout, indent=2)


def _of_training(job: JobDirectory) -> dict[str, Any]:
    """What metrics.json says of the training, which an evaluation does not change."""
    if not job.metrics.exists():
        return {}
    return {key: v for key, v in job.read_metrics().items() if key.startswith("train/") or key == "cost/train_seconds"}


def _output(path: str, job: JobDirectory, config: JobConfig) -> JobDirectory:
    """A directory that reports can read: the job's own, or another one that gets its config.yaml.

    Raises:
        ConfigError: it holds something else, or the job's own results would become those of another dataset.

    """
    from trainer.config import load_job_config
    from trainer.job import JobDirectory

    output = JobDirectory(path)
    if output.path.resolve() == job.path.resolve():
        if load_job_config(job.config).dataset_fingerprint != config.dataset_fingerprint:
            raise ConfigError(
                f"--output {path}: is the job, which was trained on another dataset; name a new directory"
            )
    elif output.has_checkpoints or (output.path / MANIFEST).exists():
        what = "another job" if output.has_checkpoints else "a dataset"
        raise ConfigError(f"--output {path}: is {what}; name a new directory")
    elif output.config.exists() and not _is_of_same_model(load_job_config(output.config), config):
        raise ConfigError(f"--output {path}: holds another model's results; name a new directory")
    try:
        output.path.mkdir(parents=True, exist_ok=True)
        config.save(output.config)
    except OSError as error:
        raise ConfigError(f"--output {path}: cannot be written ({error.strerror}); name another directory") from None
    return output


def _is_of_same_model(one: JobConfig, other: JobConfig) -> bool:
    """Whether they differ in nothing but the data and the protocol that they are evaluated by."""
    return all(getattr(one, key) == getattr(other, key) for key in ("model_name", "model", "train", "seed"))


if __name__ == "__main__":
    sys.exit(run_command(main))
