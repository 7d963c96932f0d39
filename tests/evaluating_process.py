"""A process that has trained nothing and evaluates the jobs that it is told, one line in, one line out.

Starting Python and TensorFlow takes longer than evaluating a small job: the contracts of all models share this one.
"""

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).parents[1]


class EvaluatingProcess:
    """The other end of the process; started when first asked."""

    def __init__(self):
        self._process = None

    def __call__(self, job_path):
        """The metrics that `python -m trainer.evaluate --json` finds for a job."""
        if self._process is None:
            command = [sys.executable, "-m", "tests.evaluating_process"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
        print(job_path, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, f"the evaluating process ended with {self._process.wait()}"
        return json.loads(answer)

    def end(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()


def main():
    from trainer import evaluate

    for line in sys.stdin:
        printed = io.StringIO()
        with redirect_stdout(printed):
            evaluate.main(["--job-dir", line.rstrip("\n"), "--json"])
        print(json.dumps(json.loads(printed.getvalue())), flush=True)


if __name__ == "__main__":
    main()
