"""The command `python -m trainer.ab_test`."""

import json
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tfrec.errors import ConfigError, DataError
from trainer.ab_test import main


@pytest.fixture(scope="module")
def rows():
    """Served pages of 3,000 users over 20 days; the new variant has 30 % more clicks."""
    rng = np.random.default_rng(0)
    user = rng.integers(0, 3000, 20_000)
    is_new = user % 2 == 1
    activity = rng.gamma(2, 0.5, 3000)
    return pa.table(
        {
            "member": user,
            "arm": np.where(is_new, "new", "old"),
            "clicks": rng.binomial(10, 0.05 * (1 + 0.3 * is_new)),
            "spent": activity[user] * rng.random(20_000),
            "before": activity[user],
            "served": pa.array(1_700_000_000_000 + rng.integers(0, 20 * 86_400_000, 20_000), pa.timestamp("ms")),
        }
    )


@pytest.fixture
def log(rows, tmp_path):
    pq.write_table(rows, tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


COLUMNS = ["--user", "member", "--variant", "arm", "--control", "old"]


def run(capsys, log, *arguments):
    main(["--log", str(log), *COLUMNS, "--json", *arguments])
    out, err = capsys.readouterr()
    return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON")), err


def test_it_prints_a_table_and_writes_the_analysis_as_json(capsys, log, rows):
    found, table = run(
        capsys, log, "--metric", "ctr=clicks/rows", "--metric", "mean(spent)", "--covariate", "mean(spent)=before",
        "--time", "served", "--window-days", "7", "--looks", "5",
    )  # fmt: skip
    ctr, spent = found["findings"]
    assert (ctr["metric"], ctr["variant"], spent["metric"]) == ("ctr", "new", "mean(spent)")
    assert ctr["p_corrected"] < 0.001
    assert ctr["effect"]["lift"] == pytest.approx(0.3, abs=0.1)
    assert ctr["sequential"]["low"] > 0
    assert 1 <= len(ctr["looks"]) <= 5
    assert spent["variance_reduction"] > 0.2
    assert spent["unadjusted"]["p_value"] != spent["effect"]["p_value"]
    for text in ("ctr", "mean(spent)", "new", "of the variance", "at all looks", "not yet watched", "< 0.001"):
        assert text in table
    assert max(len(line) for line in table.splitlines() if "warning" not in line) <= 80
    row = next(line for line in table.splitlines() if "difference" in line)
    shown = [float(number) for number in re.findall(r"[+-]?\d+\.\d+", row)][:3]
    assert shown == pytest.approx([ctr["effect"][key] for key in ("difference", "low", "high")], abs=6e-4)


def test_a_difference_beyond_doubt_has_no_p_of_0(capsys, rows, tmp_path):
    sure = rows.set_column(2, "clicks", pa.array(np.where(np.array(rows["arm"]) == "new", 5.0, 1.0)))
    pq.write_table(sure, tmp_path / "sure.parquet")
    found, table = run(capsys, tmp_path / "sure.parquet", "--metric", "mean(clicks)", "--split", "old=90,new=10")
    assert found["findings"][0]["p_corrected"] == 0
    assert "< 0.001" in next(line for line in table.splitlines() if "difference" in line)
    assert not re.search(r"p = 0\b(?!\.)|\b0\.000 ", table)
    assert "sample ratio mismatch (p < 0.001)" in table


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty; name a log with rows"), (b"\x93 a, b\nno, table, this \xff\n", "cannot be read as ")],
)
def test_a_file_that_is_empty_or_no_table_is_one_line_of_ours(tmp_path, ending, content, says):
    path = tmp_path / f"log.{ending}"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        main(["--log", str(path), "--metric", "clicks"])
    message = str(caught.value)
    assert message.startswith(f"{path}: {says}")
    assert message.isascii()
    for word in ("Error creating", "Invalid:", "source '", "Could not"):
        assert word not in message
    (tmp_path / "heading.csv").write_text("user,variant,clicks\n")
    with pytest.raises(DataError, match=r"heading\.csv: has no rows; give a log"):
        main(["--log", str(tmp_path / "heading.csv"), "--metric", "clicks"])


def test_a_csv_gives_the_same_analysis(capsys, log, rows, tmp_path):
    pa_csv.write_csv(rows, tmp_path / "log.csv")
    arguments = ("--metric", "clicks", "--metric", "spent", "--covariate", "before", "--time", "served")
    one, other = (run(capsys, path, *arguments)[0] for path in (log, tmp_path / "log.csv"))
    assert one["warnings"] == other["warnings"]
    for mine, theirs in zip(one["findings"], other["findings"], strict=True):
        assert mine["effect"] == pytest.approx(theirs["effect"], rel=1e-9)


def test_numbers_that_are_unknown_are_null(capsys, log, rows):
    zero = rows.set_column(2, "clicks", pa.array(np.zeros(rows.num_rows)))
    pq.write_table(zero, log)
    found, _ = run(capsys, log, "--metric", "clicks")
    assert found["findings"][0]["effect"]["lift"] is None
    assert found["findings"][0]["effect"]["p_value"] == 1


def test_a_planned_split_is_checked(capsys, log):
    found, table = run(capsys, log, "--metric", "clicks", "--split", "old=90,new=10")
    assert found["sample_ratio_p_value"] < 0.001
    assert "sample ratio mismatch" in " ".join(table.split())


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["--metric", "clik"], DataError, "no column 'clik'; did you mean 'clicks'"),
        (["--metric", "a/b/c"], ConfigError, "metric: got 'a/b/c'"),
        (["--metric", "clicks", "--control", "lod"], ConfigError, "did you mean 'old'"),
        (["--metric", "clicks", "--split", "old"], ConfigError, "NAME=SHARE"),
        (["--metric", "clicks", "--window-days", "0"], ConfigError, "numbers above 0"),
        (["--metric", "clicks", "--window-days", "3"], ConfigError, "--time"),
        (["--metric", "clicks", "--correction", "tukey"], ConfigError, "holm, bh, none"),
        (["--metric", "clicks", "--covariates", "x"], ConfigError, "did you mean '--covariate'"),
        ([], ConfigError, "--metric"),
    ],
)
def test_mistakes_are_named_with_the_way_out(log, arguments, error, says):
    with pytest.raises(error, match=says):
        main(["--log", str(log), *COLUMNS, *arguments])


def test_from_the_shell_a_mistake_is_one_line_and_exit_code_2():
    command = [sys.executable, "-m", "trainer.ab_test"]
    done = subprocess.run([*command, "--log", "absent.csv", "--metric", "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("DataError: absent.csv: no such file")
    assert done.stderr.count("\n") == 1
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert shown.stdout.startswith("example: python -m trainer.ab_test")
