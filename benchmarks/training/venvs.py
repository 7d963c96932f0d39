"""Environments of the other libraries, made once from the pinned lists in `peers/`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PINNED = Path(__file__).parent / "peers"


def environment(name: str, work: Path, pinned: Path = PINNED) -> Path:
    """Python of the environment with the packages of <name>.txt; made unless an earlier run left it whole."""
    place, wanted = work / "venvs" / name, (pinned / f"{name}.txt").read_text(encoding="utf-8")
    python, installed = place / "bin" / "python", place / "installed.txt"
    if installed.exists() and installed.read_text(encoding="utf-8") == wanted:
        return python
    print(f"installing {name} (once; some minutes)", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(place)])
    # The lists are complete; asking pip for more would undo pins that a package's own metadata does not allow.
    _run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(pinned / f"{name}.txt")])
    installed.write_text(wanted, encoding="utf-8")  # last: tells that the environment is whole
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"benchmarks: {' '.join(command)} failed:\n{done.stderr[-4000:]}")
