"""The benchmark of EASE runs at a tiny size."""

import subprocess
import sys


def test_a_row_for_each_size_and_precision():
    command = [sys.executable, "-m", "benchmarks.ease_speed", "--items", "40", "80", "--users", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["40", "float64"], ["40", "float32"], ["80", "float64"], ["80", "float32"]]
    assert all(float(row[-1]) > 0.1 for row in rows)  # TensorFlow alone takes more
