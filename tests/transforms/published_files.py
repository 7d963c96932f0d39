"""Data sets beside the project, which is not allowed to hold them; tests that need them skip where they are absent."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("TFREC_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def needs(*paths: str) -> list[Path]:
    """The paths below the data directory; skips the test where one is not there."""
    found = [DATA / path for path in paths]
    for path in found:
        if not path.exists():
            pytest.skip(f"{path} is not there; set TFREC_DATA to the directory of the data sets")
    return found
